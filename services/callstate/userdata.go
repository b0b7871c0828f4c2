package callstate

import (
	"context"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/services/callstate/model"
)

// SetUserData serves contract.SetUserData.
func (s *Service) SetUserData(ctx context.Context, req contract.SetUserDataRequest) (contract.SetUserDataResponse, error) {
	var none contract.SetUserDataResponse
	if len(req.UserData) == 0 {
		return none, voice.Invalid(voice.FieldError{Field: "UserData", Reason: "is empty; give at least one pair"})
	}
	c, err := s.one(req.Tenant, req.CallUUID)
	if err != nil {
		return none, err
	}
	if req.Version != 0 && req.Version < c.Version {
		return none, conflict(c, req.Version)
	}
	if req.ThisDN == "" {
		req.ThisDN = c.Parties[0].DN
	}
	answer, err := fabric.CallNode(ctx, s.f, contract.AskNode, c.Node, &voice.Request{
		Name: voice.RequestUpdateUserData, Tenant: req.Tenant, User: req.User, ThisDN: req.ThisDN, ConnID: c.ConnID,
		UserData: req.UserData, Version: req.Version,
	})
	if err != nil {
		return none, err
	}
	if refused := answer.Error; refused != nil {
		return none, s.refused(c, req.Version, refused)
	}
	return contract.SetUserDataResponse{ConnID: c.ConnID, Version: c.Version}, nil
}

// one is a call of a tenant by its CallUUID.
func (s *Service) one(tenant, uuid string) (voice.Call, error) {
	if tenant != "" && uuid != "" {
		if calls, _ := s.model.Find(model.Query{Tenant: tenant, CallUUID: uuid, Limit: 1}); len(calls) > 0 {
			return calls[0], nil
		}
	}
	return voice.Call{}, voice.Errorf(voice.ErrNotFound, "there is no call %.64s in progress", uuid)
}

func conflict(c voice.Call, wanted int64) error {
	return voice.Errorf(voice.ErrConflict, "the user data of call %s are version %d, not %d; read them again and decide anew", c.CallUUID, c.Version, wanted)
}

// refused is what the answer of a node means to who asked here. The node has the last word on versions: one that it refuses
// in a state it would take otherwise is a conflict, with the version known here by now.
func (s *Service) refused(c voice.Call, wanted int64, why *voice.TError) error {
	switch why.Code {
	case voice.TErrInvalidConnID:
		return voice.Errorf(voice.ErrNotFound, "%s", why.Message)
	case voice.TErrWrongState:
		if wanted != 0 {
			if now, err := s.one(c.Tenant, c.CallUUID); err == nil {
				c = now
			}
			if c.Version != wanted {
				return conflict(c, wanted)
			}
			return voice.Errorf(voice.ErrConflict, "%s", why.Message)
		}
	case voice.TErrServiceUnavailable, voice.TErrNoSwitch:
		return voice.Errorf(voice.ErrUnavailable, "%s", why.Message)
	}
	return voice.Errorf(voice.ErrInvalid, "%s", why.Message)
}
