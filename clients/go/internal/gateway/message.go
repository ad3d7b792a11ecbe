package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// documents are the fields of the contract that hold JSON text.
var documents = []protoreflect.Name{"inputs", "outputs", "data"}

// appendMessage appends a message of the contract as JSON: the mapping of Protocol Buffers with the contract's names
// and with default values, except that JSON documents are embedded, or left out if they are empty, and that 64-bit
// integers are numbers. The JSON is one line.
func appendMessage(b []byte, message protoreflect.Message) ([]byte, error) {
	descriptor := message.Descriptor()
	switch descriptor.FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration":
		text, err := protojson.Marshal(message.Interface())
		return append(b, text...), err
	}
	var err error
	b = append(b, '{')
	first := true
	fields := descriptor.Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.HasPresence() && !message.Has(field) {
			continue
		}
		value := message.Get(field)
		document := slices.Contains(documents, field.Name())
		if document && value.String() == "" {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(b, string(field.Name()))
		b = append(b, ':')
		if document {
			b = appendDocument(b, value.String())
		} else if b, err = appendField(b, field, value); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendField(b []byte, field protoreflect.FieldDescriptor, value protoreflect.Value) ([]byte, error) {
	var err error
	switch {
	case field.IsList():
		b = append(b, '[')
		for i := range value.List().Len() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendScalar(b, field, value.List().Get(i)); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case field.IsMap():
		var keys []string
		value.Map().Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
			keys = append(keys, key.String())
			return true
		})
		slices.Sort(keys)
		b = append(b, '{')
		for i, key := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, key), ':')
			item := value.Map().Get(protoreflect.ValueOfString(key).MapKey())
			if b, err = appendScalar(b, field.MapValue(), item); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	default:
		return appendScalar(b, field, value)
	}
}

func appendScalar(b []byte, field protoreflect.FieldDescriptor, value protoreflect.Value) ([]byte, error) {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return appendMessage(b, value.Message())
	case protoreflect.StringKind:
		return appendString(b, value.String()), nil
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, value.Bool()), nil
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return strconv.AppendInt(b, value.Int(), 10), nil
	case protoreflect.EnumKind:
		if known := field.Enum().Values().ByNumber(value.Enum()); known != nil {
			return appendString(b, string(known.Name())), nil
		}
		return strconv.AppendInt(b, int64(value.Enum()), 10), nil // one that came after this version
	default:
		return nil, fmt.Errorf("no JSON for %v", field.FullName())
	}
}

// appendDocument embeds JSON text. Text that is none, which the server never sends, becomes a string.
func appendDocument(b []byte, text string) []byte {
	buffer := bytes.NewBuffer(b)
	if err := json.Compact(buffer, []byte(text)); err != nil {
		return appendString(b, text)
	}
	return buffer.Bytes()
}

func appendString(b []byte, text string) []byte {
	buffer := bytes.NewBuffer(b)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic(err) // strings can be encoded
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

func writeMessage(w http.ResponseWriter, status int, message proto.Message) error {
	body, err := appendMessage(nil, message.ProtoReflect())
	if err != nil {
		return err
	}
	return writeBody(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return writeBody(w, status, body)
}

// writeBody answers. That the client has left by then is no error of the gateway's.
func writeBody(w http.ResponseWriter, status int, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}
