package rule

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var (
	conflicts = []string{string(NewerWins), string(SourceWins), string(SkipIfDestExists)}
	// storageClasses are those that a copy into a general purpose bucket may
	// ask for. https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
	storageClasses = []string{"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING",
		"GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "REDUCED_REDUNDANCY"}
	sseModes      = []string{"AES256", "aws:kms", "aws:kms:dsse"}
	kmsKeyPattern = regexp.MustCompile(`^[A-Za-z0-9:/_-]+$`)
	tagPattern    = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	windowPattern = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$`)
)

// checkRule finds what is wrong with one rule by itself.
func (v *validator) checkRule(i int, r Rule) {
	path := rulePath(i)
	var taken []string
	for _, earlier := range v.storage.Replication.Rules[:i] {
		taken = append(taken, earlier.Name)
	}
	v.checkName(path+".name", r.Name, taken)
	v.checkSide(path+".source", r.Source)
	v.checkSide(path+".destination", r.Destination)
	v.checkSelfOverlap(path, r)
	if tick := v.storage.Replication.TickInterval; r.Interval < tick {
		v.refuse(path+".interval", "%s is below the tick_interval of %s", r.Interval, tick)
	}
	v.checkBetween(path+".batch_size", int64(r.BatchSize), 1, 10_000)
	if !slices.Contains(conflicts, string(r.Conflict)) {
		v.refuseName(path+".conflict", string(r.Conflict), "a policy", conflicts)
	}
	v.checkGlobs(path+".include_globs", r.Source.Prefix, r.IncludeGlobs)
	v.checkGlobs(path+".exclude_globs", r.Source.Prefix, r.ExcludeGlobs)
	v.checkMarkers(path+".delete_markers", r)
	v.checkBetween(path+".max_deletes.count", int64(r.MaxDeletes.Count), 0, 1_000_000_000)
	v.checkBetween(path+".max_deletes.percent", int64(r.MaxDeletes.Percent), 0, 100)
	v.checkFilters(path, r)
	if r.StorageClass != "" && !slices.Contains(storageClasses, r.StorageClass) {
		v.refuseName(path+".storage_class", r.StorageClass, "a storage class", storageClasses)
	}
	v.checkSSE(path+".sse", r.SSE)
	if r.ReplicateObjectLock && v.storage.Buckets[r.Destination.Bucket].Create {
		v.refuse(path+".replicate_object_lock", "needs Object Lock at the destination, and %s is created without: make that bucket yourself", r.Destination.Bucket)
	}
	v.checkLimits(path+".limits", r.Limits)
	if time.Duration(r.LatencyTarget) < time.Second {
		v.refuse(path+".latency_target", "%s is below 1s", r.LatencyTarget)
	}
}

func rulePath(i int) string { return fmt.Sprintf("storage.replication.rules[%d]", i) }

func (v *validator) checkSide(path string, s Side) {
	if s.Bucket == "" {
		v.refuse(path+".bucket", "is missing: an alias of storage.buckets")
	} else if _, ok := v.storage.Buckets[s.Bucket]; !ok {
		v.refuseName(path+".bucket", s.Bucket, "a bucket of storage.buckets", v.aliases)
	}
	switch {
	case len(s.Prefix) > maxKey:
		v.refuse(path+".prefix", "has %d bytes; a whole key has at most %d", len(s.Prefix), maxKey)
	case !utf8.ValidString(s.Prefix):
		v.refuse(path+".prefix", "%q is not UTF-8", s.Prefix)
	case strings.ContainsFunc(s.Prefix, unicode.IsControl):
		v.refuse(path+".prefix", "%q has a control character; keys may, but a prefix ends before it", s.Prefix)
	case strings.HasPrefix(s.Prefix, "/"):
		v.warn(path+".prefix", "%q begins with a slash; keys seldom do, and a prefix is taken as it stands", s.Prefix)
	case s.Prefix != "" && !strings.HasSuffix(s.Prefix, "/"):
		v.warn(path+".prefix", "%q also stands for keys such as %q; write %q if a folder is meant", s.Prefix, s.Prefix+"a/x", s.Prefix+"/")
	}
}

func (v *validator) checkGlobs(path, prefix string, globs []string) {
	for i, g := range globs {
		at := fmt.Sprintf("%s[%d]", path, i)
		_, err := compileGlob(g)
		switch {
		case g == "":
			v.refuse(at, "is empty and matches nothing; ** matches every key")
		case strings.ContainsFunc(g, unicode.IsControl):
			v.refuse(at, "%q has a control character; ? matches one", g)
		case err != nil:
			v.refuse(at, "%q is not a glob: %v", g, err)
		case g != deltaglider && missesPrefix(g, prefix):
			v.warn(at, "%q matches no key under %q: globs see the whole source key, and * stops at a slash", g, prefix)
		}
	}
}

// missesPrefix reports whether it is certain that no key under prefix matches:
// the glob begins otherwise, or has fewer slashes than the prefix alone.
func missesPrefix(pattern, prefix string) bool {
	if literal := pattern[:len(pattern)-len(strings.TrimLeftFunc(pattern, isLiteral))]; !overlap(literal, prefix) {
		return true
	}
	return !strings.Contains(pattern, "**") && !strings.ContainsAny(pattern, `[{\`) &&
		strings.Count(pattern, "/") < strings.Count(prefix, "/")
}

func isLiteral(r rune) bool { return !strings.ContainsRune(`*?[]{},!\`, r) }

func (v *validator) checkMarkers(path string, r Rule) {
	if !r.DeleteMarkers {
		return
	}
	for _, alias := range []string{r.Source.Bucket, r.Destination.Bucket} {
		if b := v.storage.Buckets[alias]; b.Create && !b.Versioned {
			v.refuse(path, "needs versions in both buckets, and %s is created without: set its versioned", alias)
		}
	}
}

func (v *validator) checkFilters(path string, r Rule) {
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
	if len(r.Tags) > 10 {
		v.refuse(path+".tags", "asks for %d tags; an object has at most 10", len(r.Tags))
	}
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		switch value := r.Tags[k]; {
		case !tagPattern.MatchString(k) || !tagPattern.MatchString(value):
			v.refuse(path+".tags."+k, "%q: %q is not a tag: letters, digits, spaces and + - = . _ : / @", k, value)
		case k == "" || utf8.RuneCountInString(k) > 128:
			v.refuse(path+".tags."+k, "%q is not a tag: its name has 1 to 128 characters", k)
		case utf8.RuneCountInString(value) > 256:
			v.refuse(path+".tags."+k, "is longer than the 256 characters a tag holds")
		}
	}
	if r.MinSize < 0 {
		v.refuse(path+".min_size", "%d is below 0 bytes", r.MinSize)
	}
	if r.MaxSize < 0 {
		v.refuse(path+".max_size", "%d is below 0 bytes (0: no limit)", r.MaxSize)
	}
	if r.MaxSize > 0 && r.MinSize > r.MaxSize {
		v.refuse(path+".max_size", "%d is below the min_size of %d: no object is both", r.MaxSize, r.MinSize)
	}
}

func (v *validator) checkSSE(path string, s SSE) {
	if s.Mode != "" && !slices.Contains(sseModes, s.Mode) {
		v.refuseName(path+".mode", s.Mode, "an encryption mode", sseModes)
		return
	}
	if !s.BucketKey && s.Mode != "aws:kms" {
		v.refuse(path+".bucket_key", "goes with mode aws:kms only")
	}
	switch {
	case s.KMSKey == "":
	case !strings.HasPrefix(s.Mode, "aws:kms"):
		v.refuse(path+".kms_key", "goes with mode aws:kms or aws:kms:dsse only")
	case !kmsKeyPattern.MatchString(s.KMSKey):
		v.refuse(path+".kms_key", "%q is not a key's id, an alias/name or an ARN", s.KMSKey)
	}
}

func (v *validator) checkLimits(path string, l Limits) {
	v.checkBetween(path+".concurrency", int64(l.Concurrency), 0, 1000)
	if l.BytesPerSecond < 0 {
		v.refuse(path+".bytes_per_second", "%d is below 0 (0: no limit)", l.BytesPerSecond)
	}
	if l.OutsideWindow != "" && l.OutsideWindow != Events && l.OutsideWindow != Nothing {
		v.refuse(path+".outside_window", "%q is not one of: %s, %s", l.OutsideWindow, Events, Nothing)
	}
	if l.Window == "" {
		if l.OutsideWindow != "" {
			v.refuse(path+".outside_window", "goes with a window only")
		}
		return
	}
	from, to, _ := strings.Cut(l.Window, "-")
	switch {
	case !windowPattern.MatchString(l.Window):
		v.refuse(path+".window", "%q is not a time of day such as 22:00-06:00 (UTC)", l.Window)
	case from == to:
		v.refuse(path+".window", "%q is empty; leave it out to run at any time", l.Window)
	}
}
