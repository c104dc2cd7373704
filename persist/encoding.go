package persist

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// encodingVersion is the first byte of an encoded record. A reader refuses
// those that it does not know.
const encodingVersion = 1

// encodedHeader is the part of a record that is JSON when encoded, so that
// members may be added to Exchange and records of an older version still read.
type encodedHeader struct {
	ID                string
	Ledger, NoHistory bool `json:",omitempty"`
	*Exchange
}

var errEncoding = errors.New("no record in a known encoding")

// appendRecord appends the encoding of a record, votes left out:
//
//	version byte
//	header     length uvarint, JSON
//	prompt     length+1 uvarint (0 means nil), bytes as they are
//	completion likewise
func appendRecord(dst []byte, r *Record) ([]byte, error) {
	header, err := json.Marshal(encodedHeader{r.ID, r.Ledger, r.NoHistory, &r.Exchange})
	if err != nil {
		return dst, fmt.Errorf("encoding record %s: %w", r.ID, err)
	}
	dst = append(dst, encodingVersion)
	dst = binary.AppendUvarint(dst, uint64(len(header)))
	dst = append(dst, header...)
	for _, blob := range [...]json.RawMessage{r.Prompt, r.Completion} {
		if blob == nil {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(blob))+1)
		dst = append(dst, blob...)
	}
	return dst, nil
}

// parseRecord reads what appendRecord wrote. Prompt and Completion of the
// record share b.
func parseRecord(b []byte) (*Record, error) {
	if len(b) == 0 || b[0] != encodingVersion {
		return nil, errEncoding
	}
	header, b, ok := cutBlob(b[1:], 0)
	if !ok {
		return nil, errEncoding
	}
	r := &Record{}
	h := encodedHeader{Exchange: &r.Exchange}
	if err := json.Unmarshal(header, &h); err != nil {
		return nil, errEncoding // its own words may quote the record
	}
	r.ID, r.Ledger, r.NoHistory = h.ID, h.Ledger, h.NoHistory
	if r.Prompt, b, ok = cutBlob(b, 1); !ok {
		return nil, errEncoding
	}
	if r.Completion, b, ok = cutBlob(b, 1); !ok || len(b) > 0 {
		return nil, errEncoding
	}
	return r, nil
}

// cutBlob cuts off a blob that its length and bias precede; a length below
// the bias means nil.
func cutBlob(b []byte, bias uint64) (blob, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 {
		return nil, nil, false
	}
	b = b[k:]
	if n < bias {
		return nil, b, true
	}
	if n -= bias; n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}
