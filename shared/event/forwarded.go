package event

import (
	"encoding/json"
	"time"
)

// forwardedType is the detail-type of what a backend sent to its webhook.
const forwardedType = "Backend Notification"

type forwardedEvent struct {
	Source     string          `json:"source"`
	DetailType string          `json:"detail-type"`
	Time       time.Time       `json:"time"`
	Detail     forwardedDetail `json:"detail"`
}

type forwardedDetail struct {
	Backend string `json:"backend"`
	Body    string `json:"body"` // as it came
}

// Forwarded is the body of a message for the events queue: what the backend sent
// to its webhook, untouched, which must be UTF-8. Decode makes of it the changes
// that body tells of, on that backend's buckets and on no others.
func Forwarded(backend, body string, now time.Time) string {
	text, err := json.Marshal(forwardedEvent{
		Source: ownSource, DetailType: forwardedType, Time: now.UTC(), Detail: forwardedDetail{Backend: backend, Body: body},
	})
	if err != nil {
		panic(err) // of strings, and a time within this era
	}
	return string(text)
}

func (d *decoder) forwarded(path string, e envelope, depth int) {
	var detail forwardedDetail
	switch {
	case !d.unmarshal(path+"detail.", e.Detail, &detail):
	case detail.Backend == "":
		d.problem(path, "detail.backend is missing")
	default:
		// Inside, EventBridge and we ourselves are not believed: else whoever has
		// the secret of one backend could speak for another.
		outer := d.backend
		d.backend, d.inside = detail.Backend, true
		d.body(path+"detail.body.", detail.Body, depth+1)
		d.backend, d.inside = outer, false
	}
}
