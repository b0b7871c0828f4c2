package rig

import (
	"encoding/csv"
	"errors"
	"os"
)

// LastRow reads the last row of a statistics file of sipp, by column.
func LastRow(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rd := csv.NewReader(f)
	rd.Comma, rd.FieldsPerRecord = ';', -1
	rows, err := rd.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 2 {
		return nil, errors.New("no rows")
	}
	out := map[string]string{}
	for i, name := range rows[0] {
		if i < len(rows[len(rows)-1]) {
			out[name] = rows[len(rows)-1][i]
		}
	}
	return out, nil
}
