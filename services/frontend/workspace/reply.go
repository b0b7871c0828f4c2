package workspace

import (
	"errors"
	"net/http"

	"parley/internal/voice"
)

// Codes of status that are no numbers of T-Library.
const (
	codeDone     = 0 // it is done
	codeAccepted = 1 // it was taken on; an event tells the outcome
)

// status is part of every answer.
type status struct {
	Code    int    `json:"code"`
	Message string `json:"message,omitempty"`
}

// answer is every answer of /workspace/v3.
type answer struct {
	Status      status `json:"status"`
	OperationID string `json:"operationId,omitempty"`
	Data        any    `json:"data,omitempty"`
}

func done(c *exchange, data any) error { return c.reply(http.StatusOK, answer{Data: data}) }

// refusal turns an error into an answer: with the number of T-Library where there is one, else with the HTTP status.
func (s *Service) refusal(c *exchange, err error) error { return s.refusalOf(c, "", err) }

func (s *Service) refusalOf(c *exchange, operation string, err error) error {
	var te *voice.TError
	if errors.As(err, &te) {
		s.metrics.refused.Inc()
		return c.reply(statusOf(te.Code), answer{Status: status{int(te.Code), te.Message}, OperationID: operation})
	}
	code, text := http.StatusInternalServerError, "internal error; the log of the front end has the details"
	for _, k := range []struct {
		is     error
		status int
	}{
		{voice.ErrUnauthorized, http.StatusUnauthorized}, {voice.ErrForbidden, http.StatusForbidden},
		{voice.ErrInvalid, http.StatusBadRequest}, {voice.ErrNotFound, http.StatusNotFound},
		{voice.ErrOverloaded, http.StatusTooManyRequests}, {voice.ErrUnavailable, http.StatusServiceUnavailable},
		{voice.ErrTimeout, http.StatusGatewayTimeout},
	} {
		if errors.Is(err, k.is) {
			code, text = k.status, k.is.Error()
			var ve *voice.Error
			if errors.As(err, &ve) && ve.Message != "" {
				text = ve.Message
			}
			break
		}
	}
	if code == http.StatusInternalServerError {
		s.log.Error("workspace request failed", "path", c.Pattern, "err", err)
	}
	s.metrics.refused.Inc()
	return c.reply(code, answer{Status: status{code, text}, OperationID: operation})
}

// statusOf is the HTTP status of a refusal by T-Library; what is the asker's fault is 400.
func statusOf(code voice.TErrorCode) int {
	switch code {
	case voice.TErrNotRegistered:
		return http.StatusForbidden
	case voice.TErrInvalidConnID, voice.TErrNoSuchDN, voice.TErrDNNotConfigured:
		return http.StatusNotFound
	case voice.TErrAlreadyInState, voice.TErrWrongState, voice.TErrDestinationState:
		return http.StatusConflict
	case voice.TErrTooManyRequests:
		return http.StatusTooManyRequests
	case voice.TErrUnsupported:
		return http.StatusNotImplemented
	case voice.TErrInternal:
		return http.StatusInternalServerError
	case voice.TErrNoSwitch, voice.TErrServiceUnavailable, voice.TErrResourceUnavailable:
		return http.StatusServiceUnavailable
	case voice.TErrTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusBadRequest
}

// tErrorOf says an error of a door in numbers of T-Library.
func tErrorOf(err error) error {
	var te *voice.TError
	switch {
	case err == nil || errors.As(err, &te):
		return err
	case errors.Is(err, voice.ErrUnavailable):
		return voice.TErrorf(voice.TErrServiceUnavailable, "nobody could be asked; try again in a moment")
	case errors.Is(err, voice.ErrTimeout):
		return voice.TErrorf(voice.TErrTimeout, "there was no answer in time; what became of the request is not known")
	case errors.Is(err, voice.ErrOverloaded):
		return voice.TErrorf(voice.TErrTooManyRequests, "too many requests are under way; try again in a moment")
	case errors.Is(err, voice.ErrForbidden):
		return voice.TErrorf(voice.TErrNotRegistered, "your role does not allow this for that device")
	}
	return err
}
