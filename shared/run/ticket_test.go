package run_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"bucket-replicator/events"
	"bucket-replicator/shared/run"
)

// samples are the tickets below events/samples.
func samples(t testing.TB) []string {
	t.Helper()
	names, err := fs.Glob(events.FS, "samples/shard-ticket/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d samples, %v", len(names), err)
	}
	bodies := make([]string, len(names))
	for i, name := range names {
		text, err := events.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bodies[i] = string(text)
	}
	return bodies
}

func TestATicketIsReadAsItWasSent(t *testing.T) {
	for _, sent := range []run.Ticket{
		{Rule: "mirror", Run: 1, Shard: "1", Phase: run.Copying},
		{Rule: "to-dr", Run: 1 << 40, Shard: "1.98.2", Phase: run.Deleting, Hop: 1000},
		{Rule: "mirror", Run: 2, Shard: "1", Phase: run.Deleting + 3},
	} {
		body, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := run.Decode(string(body)); err != nil || got != sent {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	for _, body := range samples(t) {
		if got, err := run.Decode(body); err != nil || got.Rule == "" {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestAFieldOfALaterVersionIsPassedOver(t *testing.T) {
	want := run.Ticket{Rule: "mirror", Run: 3, Shard: "1", Phase: run.Copying}
	if got, err := run.Decode(`{"rule": "mirror", "run": 3, "shard": "1", "phase": 1, "color": ["red"]}`); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestEverythingThatIsWrongWithATicketIsSaid(t *testing.T) {
	for situation, c := range map[string]struct {
		body string
		says []string
	}{
		"nothing":                  {"", []string{"the body is not JSON: unexpected end of JSON input"}},
		"a text":                   {`"mirror"`, []string{"the body is a JSON string, want an object"}},
		"a list":                   {`[]`, []string{"the body is a JSON array, want an object"}},
		"null":                     {`null`, []string{"the body is null, want an object"}},
		"two tickets":              {`{} {}`, []string{"the body is not JSON: invalid character '{' after top-level value"}},
		"a name that is not UTF-8": {"{\"rule\": \"\xff\", \"run\": 1, \"shard\": \"1\", \"phase\": 1}", []string{"the body is not UTF-8"}},
		"an empty object":          {`{}`, []string{"rule is missing", "run is missing", "shard is missing", "phase is missing"}},
		"empty values": {
			`{"rule": "", "run": 0, "shard": "", "phase": 0, "hop": -1}`,
			[]string{"rule is empty", "run is 0, want at least 1", "shard is empty", "phase is 0, want at least 1", "hop is -1, want at least 0"},
		},
		"values of other types": {
			`{"rule": 1, "run": "1", "shard": ["1"], "phase": 1.5, "hop": true}`,
			[]string{"rule is 1, want a text", `run is "1", want a whole number`, `shard is ["1"], want a text`, "phase is 1.5, want a whole number", "hop is true, want a whole number"},
		},
		"nulls": {
			`{"rule": null, "run": null, "shard": null, "phase": null}`,
			[]string{"rule is empty", "run is 0, want at least 1", "shard is empty", "phase is 0, want at least 1"},
		},
		"a number that is too large": {`{"rule": "r", "run": 9223372036854775808, "shard": "1", "phase": 1}`, []string{"run is 9223372036854775808, want a whole number"}},
		"a long value": {
			`{"rule": "r", "run": "` + strings.Repeat("ü", 100) + `", "shard": "1", "phase": 1}`,
			[]string{`run is "` + strings.Repeat("ü", 29) + `..., want a whole number`},
		},
	} {
		got, err := run.Decode(c.body)
		var u *run.UndecodableError
		if !errors.As(err, &u) || !slices.Equal(u.Problems, c.says) || got != (run.Ticket{}) {
			t.Errorf("%s: %+v, %v", situation, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, body := range samples(f) {
		f.Add(body)
	}
	f.Add(`{"rule": "", "run": 0, "shard": [], "phase": 1e9, "hop": null}`)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := run.Decode(body)
		var u *run.UndecodableError
		switch {
		case err == nil:
			if got.Rule == "" || got.Run < 1 || got.Shard == "" || got.Phase < run.Copying || got.Hop < 0 {
				t.Errorf("decoded to %+v", got)
			}
			again, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := run.Decode(string(again)); err != nil || back != got {
				t.Errorf("%+v came back as %+v, %v", got, back, err)
			}
		case !errors.As(err, &u) || len(u.Problems) == 0:
			t.Errorf("an error without a problem: %v", err)
		case got != (run.Ticket{}):
			t.Errorf("an error, and %+v", got)
		}
	})
}
