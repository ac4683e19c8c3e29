package s3store

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithytime "github.com/aws/smithy-go/time"
)

// parseSlowly is parseListing by encoding/xml.
func parseSlowly(b []byte) (*listing, error) {
	var in struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           *bool
		NextContinuationToken string
		EncodingType          string
		Contents              []struct {
			Key, LastModified, ETag, StorageClass string
			Size                                  *int64
			RestoreStatus                         struct {
				IsRestoreInProgress bool
				RestoreExpiryDate   string
			}
		}
	}
	if err := xml.Unmarshal(b, &in); err != nil {
		return nil, err
	}
	if in.IsTruncated == nil {
		return nil, errors.New("no IsTruncated")
	}
	l := &listing{encoded: in.EncodingType == "url", truncated: *in.IsTruncated, token: in.NextContinuationToken}
	for _, c := range in.Contents {
		modified, err := smithytime.ParseDateTime(c.LastModified)
		if c.Size == nil || err != nil {
			return nil, errors.New("incomplete")
		}
		cold := c.StorageClass == "GLACIER" || c.StorageClass == "DEEP_ARCHIVE"
		l.objects = append(l.objects, object.Listed{Key: c.Key, State: object.State{
			Presence: object.Present, ETag: strings.Trim(c.ETag, `"`), Size: *c.Size, LastModified: whole(&modified),
			Archived: cold && (c.RestoreStatus.IsRestoreInProgress || c.RestoreStatus.RestoreExpiryDate == ""),
		}})
	}
	return l, nil
}

// someListing makes up a listing.
func someListing(r *rand.Rand) *listing {
	word := func(letters string, n int) string {
		all, some := []rune(letters), make([]rune, 1+r.IntN(n))
		for i := range some {
			some[i] = all[r.IntN(len(all))]
		}
		return string(some)
	}
	const keys = "abcXYZ/.-_ +%&<>\"'\t\n\r]äß漢😀\u2028\ufffd"
	l := &listing{encoded: r.IntN(2) == 0, truncated: r.IntN(2) == 0, token: word(keys, 8)}
	for range r.IntN(5) {
		l.objects = append(l.objects, object.Listed{Key: word(keys, 12), State: object.State{
			Presence: object.Present, ETag: word("0123456789abcdef-", 34), Size: r.Int64N(5 << 40), Archived: r.IntN(3) == 0,
			LastModified: time.Date(1970+r.IntN(100), 1, 1, 0, 0, r.IntN(1<<25), 0, time.UTC),
		}})
	}
	return l
}

// written is l in one of the many ways in which a server may write it.
func written(l *listing, r *rand.Rand) string {
	pick := func(one ...string) string { return one[r.IntN(len(one))] }
	text := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			named := map[rune]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': "&quot;", '\'': "&apos;"}[c]
			switch {
			case named != "" && r.IntN(2) == 0:
				b.WriteString(named)
			case strings.ContainsRune("&<>\r", c), r.IntN(20) == 0:
				fmt.Fprintf(&b, pick("&#%d;", "&#x%x;", "&#x%04X;"), c)
			case r.IntN(20) == 0:
				b.WriteString("<![CDATA[" + string(c) + "]]>")
			default:
				b.WriteRune(c)
			}
		}
		return b.String()
	}
	element := func(name, value string) string {
		return "<" + name + pick("", "", " ", ` a="b"`) + ">" + value + "</" + name + pick("", "", " ") + ">"
	}
	space := pick("", "\n  ", "\r\n\t")
	parent := func(name string, children ...string) string {
		r.Shuffle(len(children), func(i, j int) { children[i], children[j] = children[j], children[i] })
		return element(name, space+strings.Join(children, space)+space)
	}
	unknown := func() string {
		return pick("", "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>", "<Prefix/>", "<Owner><ID>&quot;</ID><DisplayName>ö</DisplayName></Owner>",
			`<x:More xmlns:x="urn:x" y='>'><Key>not this one</Key><![CDATA[<]]></x:More>`)
	}
	var objects []string
	for _, o := range l.objects {
		class := pick("", element("StorageClass", "STANDARD"), element("StorageClass", "GLACIER_IR"))
		restore := pick("", parent("RestoreStatus", element("IsRestoreInProgress", "true")))
		if o.State.Archived {
			class = element("StorageClass", pick("GLACIER", "DEEP_ARCHIVE"))
		} else if r.IntN(3) == 0 {
			class = element("StorageClass", pick("GLACIER", "DEEP_ARCHIVE"))
			restore = parent("RestoreStatus", element("IsRestoreInProgress", "false"), element("RestoreExpiryDate", "2026-02-03T00:00:00Z"))
		}
		quote := pick("", text(`"`))
		objects = append(objects, parent("Contents", class, restore, unknown(),
			element("Key", text(o.Key)), element("ETag", quote+text(o.State.ETag)+quote), element("Size", fmt.Sprint(o.State.Size)),
			element("LastModified", o.State.LastModified.Format(pick(time.RFC3339, "2006-01-02T15:04:05.000Z", "2006-01-02T15:04:05.123456"))),
		))
	}
	encoding := pick("", element("EncodingType", ""))
	if l.encoded {
		encoding = element("EncodingType", "url")
	}
	return pick("", `<?xml version="1.0" encoding="UTF-8"?>`+space, "<?xml version='1.0' encoding='utf-8' standalone='yes' ?>") +
		parent("ListBucketResult", strings.Join(objects, space), unknown(), encoding, pick("", element("KeyCount", fmt.Sprint(len(l.objects)))),
			element("IsTruncated", fmt.Sprint(l.truncated)), element("NextContinuationToken", text(l.token))) + space
}

func TestAListingIsReadHoweverItIsWritten(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		want := someListing(r)
		answer := written(want, r)
		for name, parse := range map[string]func([]byte) (*listing, error){"parseListing": parseListing, "encoding/xml": parseSlowly} {
			if got, err := parse([]byte(answer)); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: %s has, %v,\n%+v\nof %s", seed, name, err, got, answer)
			}
		}
	}
}

func TestAListingThatBreaksOffIsNoListing(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		answer := strings.TrimSpace(written(someListing(r), r))
		for n := range len(answer) {
			if got, err := parseListing([]byte(answer[:n])); err == nil {
				t.Fatalf("seed %d: read %+v\nof %s", seed, got, answer[:n])
			}
		}
	}
}

func TestWhatIsNoListingIsRefused(t *testing.T) {
	const object = `<Contents><Key>k</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>5</Size></Contents>`
	const whole = "<ListBucketResult><IsTruncated>false</IsTruncated>" + object + "</ListBucketResult>"
	if _, err := parseListing([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"nothing":                          {whole, ""},
		"a web page":                       {whole, "<!DOCTYPE html><html><body>Welcome</body></html>"},
		"a well-formed web page":           {whole, "<html><body>Welcome</body></html>"},
		"words":                            {whole, "please log in"},
		"another answer":                   {"ListBucketResult", "ListVersionsResult"},
		"no key":                           {"<Key>k</Key>", ""},
		"an empty key":                     {"<Key>k</Key>", "<Key/>"},
		"no time":                          {"<LastModified>2026-01-02T03:04:05.000Z</LastModified>", ""},
		"a day that is none":               {"01-02", "02-30"},
		"no tag":                           {"<ETag>&quot;e&quot;</ETag>", ""},
		"an empty tag":                     {"&quot;e&quot;", "&quot;&quot;"},
		"no size":                          {"<Size>5</Size>", ""},
		"a negative size":                  {"5</Size>", "-5</Size>"},
		"an object that is empty":          {object, "<Contents/>"},
		"no word whether there is more":    {"<IsTruncated>false</IsTruncated>", ""},
		"an unclear word":                  {"false", "maybe"},
		"fewer keys than are counted":      {object, object + "<KeyCount>2</KeyCount>"},
		"a count that is no number":        {object, object + "<KeyCount>one</KeyCount>"},
		"an unknown encoding":              {object, object + "<EncodingType>base64</EncodingType>"},
		"elements in a key":                {">k<", "><b>k</b><"},
		"words beside the elements":        {object, object + "sorry"},
		"words after the end":              {"</ListBucketResult>", "</ListBucketResult>sorry"},
		"two listings":                     {whole, whole + whole},
		"elements that overlap":            {"<Contents>", "<Contents><a><b></a></b>"},
		"an entity of somebody's own":      {">k<", ">&k;<"},
		"an ampersand alone":               {">k<", ">k&<"},
		"a reference to no character":      {">k<", ">&#xd800;<"},
		"a reference to what XML has not":  {">k<", ">&#1;<"},
		"a character that XML has not":     {">k<", ">\x01<"},
		"a carriage return, which is lost": {">k<", ">k\r<"},
		"bytes that are not UTF-8":         {">k<", ">\xff<"},
		"an encoding that is not UTF-8":    {whole, "<?xml version='1.0' encoding='ISO-8859-1'?>" + whole},
		"elements without end":             {object, strings.Repeat("<a>", 1e6) + strings.Repeat("</a>", 1e6)},
	} {
		t.Run(name, func(t *testing.T) {
			answer := strings.Replace(whole, c.old, c.new, -1)
			if got, err := parseListing([]byte(answer)); err == nil || answer == whole {
				t.Errorf("read %+v of %.200s", got, answer)
			}
		})
	}
}

func FuzzListing(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		f.Add([]byte(written(someListing(r), r)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseListing(b)
		if err != nil {
			return
		}
		if want, err := parseSlowly(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, and encoding/xml %v, %+v", got, err, want)
		}
	})
}

// answering answers every request with the same body.
type answering []byte

func (a answering) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a))}, nil
}

// BenchmarkListing reads a full page with the SDK alone, and as List does.
func BenchmarkListing(b *testing.B) {
	const keys = 1000
	var page strings.Builder
	page.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix></Prefix>` +
		`<KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>`)
	for i := range keys {
		fmt.Fprintf(&page, `<Contents><Key>folder/%03d/object-%08d.json</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>`+
			`<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>`+
			`<Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>`, i/10, i)
	}
	page.WriteString(`</ListBucketResult>`)
	e := endpoint{Client: s3.New(s3.Options{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		HTTPClient: answering(page.String()),
	})}
	for name, list := range map[string]func() (int, error){
		"of the SDK": func() (int, error) {
			out, err := e.ListObjectsV2(b.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("b")})
			return len(out.Contents), err
		},
		"here": func() (int, error) {
			page, _, err := e.list(b.Context(), "b", "", "", keys)
			return len(page), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n, err := list(); err != nil || n != keys {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/keys, "ns/key")
		})
	}
}
