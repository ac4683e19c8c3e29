package main

import (
	"debug/buildinfo"
	"fmt"
	"path/filepath"
	"strings"

	"bucket-replicator/localstack/server"
)

// tool is a program with the flags that make it fastest.
type tool struct {
	name    string
	program string
	// args is the command line that brings one bucket into step with another.
	args func(endpoint, from, to string) []string
}

var (
	// As many objects at a time as s5cmd has workers. What a run does not know
	// of the keys, because it is the first, it finds out on the way.
	ours = tool{"reconcile", "reconcile", func(endpoint, from, to string) []string {
		return reconcile(endpoint, from, to, 8)
	}}
	// Listings wait for the processor of a server this near: more ranges at a
	// time are only more work for it.
	oursAlone = tool{"reconcile, one shard", "reconcile", func(endpoint, from, to string) []string {
		return reconcile(endpoint, from, to, 1)
	}}
	// It does not look at the destination at all. Nothing copies faster; 256
	// workers are its default.
	s5cmdCopy = tool{"s5cmd cp", "s5cmd", func(_, from, to string) []string {
		return []string{"--log", "error", "--numworkers", "256", "cp", "s3://" + from + "/*", "s3://" + to + "/"}
	}}
	s5cmdSync = tool{"s5cmd sync", "s5cmd", func(_, from, to string) []string {
		return []string{"--log", "error", "--numworkers", "256", "sync", "s3://" + from + "/*", "s3://" + to + "/"}
	}}
	rcloneFast = tool{"rclone --fast-list", "rclone", func(_, from, to string) []string {
		return append(rclone(from, to), "--fast-list")
	}}
	// Lists one directory after the other, 64 at a time.
	rcloneByDirectory = tool{"rclone by directory", "rclone", func(_, from, to string) []string {
		return rclone(from, to)
	}}
	// It has no flag for how much it does at a time.
	mc = tool{"mc mirror", "mc", func(_, from, to string) []string {
		return []string{"mirror", "--quiet", "bench/" + from, "bench/" + to}
	}}
)

func reconcile(endpoint, from, to string, shards int) []string {
	return []string{"--endpoint", endpoint, "--source", from, "--destination", to, "--shards", fmt.Sprint(shards), "--objects", "256", "--json"}
}

// rclone compares checksums, which listings tell. By times it would look at each
// object, for the one that it keeps in the metadata. It is not to look at what
// it copied either, nor for the bucket. More at a time made it no faster.
func rclone(from, to string) []string {
	return []string{"sync", "bench:" + from, "bench:" + to, "--checksum", "--transfers", "64", "--checkers", "64",
		"--s3-no-head", "--s3-no-check-bucket", "--s3-list-version", "2", "--stats", "0", "--log-level", "ERROR"}
}

// environment is all that the tools are told: where the server is, in the way of
// each of them, and a home without a configuration.
func environment(endpoint, there, home string) []string {
	return []string{
		"HOME=" + home, "TMPDIR=" + home,
		"AWS_ACCESS_KEY_ID=" + server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + server.SecretKey, "AWS_REGION=" + server.Region,
		"S3_ENDPOINT_URL=" + endpoint,
		"RCLONE_CONFIG=" + filepath.Join(home, "rclone.conf"), "RCLONE_CONFIG_BENCH_TYPE=s3", "RCLONE_CONFIG_BENCH_PROVIDER=Other",
		"RCLONE_CONFIG_BENCH_ENV_AUTH=true", "RCLONE_CONFIG_BENCH_ENDPOINT=" + endpoint, "RCLONE_CONFIG_BENCH_REGION=" + server.Region,
		"RCLONE_CONFIG_THERE_TYPE=s3", "RCLONE_CONFIG_THERE_PROVIDER=Other",
		"RCLONE_CONFIG_THERE_ENV_AUTH=true", "RCLONE_CONFIG_THERE_ENDPOINT=" + there, "RCLONE_CONFIG_THERE_REGION=" + server.Region,
		"MC_HOST_there=" + strings.Replace(there, "://", "://"+server.AccessKey+":"+server.SecretKey+"@", 1),
		"MC_CONFIG_DIR=" + filepath.Join(home, "mc"),
		"MC_HOST_bench=" + strings.Replace(endpoint, "://", "://"+server.AccessKey+":"+server.SecretKey+"@", 1),
	}
}

// version is which version of a module a program was built from: of itself, or
// of what its small module under .tools/peers requires.
func version(program, module string) (string, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "", err
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module {
			return m.Version, nil
		}
	}
	return "unknown", nil
}
