package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/localstack/server"
)

// asks are the variables of which any one says where to act: a shell that
// sourced .cache/local/env has some of them, one that is meant for an account
// others. A region alone says nothing.
var asks = []string{
	"ADMIN_URL", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
}

// target says where a command acts: where the environment says, and in a shell
// that says nothing on this clone's local cloud if it runs, else in the account
// of the default profile. local is nil unless it is that cloud.
func target(ctx context.Context) (account aws.Config, local *cloud.Cloud, err error) {
	dir, err := stateDir()
	if err != nil {
		return aws.Config{}, nil, err
	}
	return targetOr(ctx, dir)
}

// targetOr is target with the local cloud that keeps its state in dir.
func targetOr(ctx context.Context, dir string) (account aws.Config, local *cloud.Cloud, err error) {
	says := func(name string) bool { return os.Getenv(name) != "" }
	if !slices.ContainsFunc(asks, says) {
		local, err = cloud.Running(dir, io.Discard)
		if err == nil {
			return local.AWS(), local, nil
		}
		if !errors.Is(err, server.ErrNotRunning) {
			return aws.Config{}, nil, err
		}
	}
	account, err = config.LoadDefaultConfig(ctx)
	return account, nil, err
}
