package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxBody bounds a request body. Two tokens and their names fit easily.
const maxBody = 64 << 10

// object is a JSON object whose members keep their exact names and spelling.
type object map[string]json.RawMessage

// readObject reads r's body as one JSON object: UTF-8, no name twice, nothing
// behind it. Without must, no body is an empty object and the media type does
// not matter.
func readObject(w http.ResponseWriter, r *http.Request, must bool) (object, error) {
	if must {
		media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || media != "application/json" {
			return nil, errors.New("the body must be application/json")
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("the body could not be read or is over %d bytes", maxBody)
	}
	if !must && len(bytes.TrimSpace(body)) == 0 {
		return object{}, nil
	}
	return parseObject(body)
}

func parseObject(body []byte) (object, error) {
	notOne := errors.New("the body must be one JSON object")
	if !utf8.Valid(body) || !json.Valid(body) {
		return nil, notOne
	}
	// json.Valid has settled the syntax; the decoder only walks it.
	dec := json.NewDecoder(bytes.NewReader(body))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, notOne
	}
	obj := object{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return nil, notOne
		}
		if _, twice := obj[name]; twice {
			return nil, errors.New("a member occurs twice")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, notOne
		}
		obj[name] = value
	}
	return obj, nil
}

// text returns the string member name. Absent, null and "" are all "": the
// SDKs write each of them for a token they do not have.
func text(obj object, name string) (string, error) {
	raw, ok := obj[name]
	if !ok || string(raw) == "null" {
		return "", nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("%s must be a string", name)
	}
	return s, nil
}

// minutes returns the member name, a whole number of minutes that Stytch
// accepts as a session duration; 0 where it is absent.
func minutes(obj object, name string) (time.Duration, error) {
	raw, ok := obj[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 5 || n > 527040 {
		return 0, fmt.Errorf("%s must be an integer from 5 to 527040", name)
	}
	return time.Duration(n) * time.Minute, nil
}
