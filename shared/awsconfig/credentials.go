package awsconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Credentials is how a backend's requests are signed: with what its
// credentials_secret holds, or as its role_arn; nil where the function's own
// role does. Nothing is cached and no request is made before the first
// Retrieve. What goes wrong is Retryable, so that it heals by itself once the
// secret or the role is put right; no error says what a secret holds.
func Credentials(c aws.Config) func(rule.Backend) aws.CredentialsProvider {
	return func(b rule.Backend) aws.CredentialsProvider {
		switch {
		case b.CredentialsSecret != "":
			return secretCredentials{Secret(c, b.CredentialsSecret)}
		case b.RoleARN != "":
			return assumed{stscreds.NewAssumeRoleProvider(sts.NewFromConfig(c), b.RoleARN, func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = "bucket-replicator"
				if b.ExternalID != "" {
					o.ExternalID = aws.String(b.ExternalID)
				}
			})}
		default:
			return nil
		}
	}
}

// CodeCredentials is the code of every error of these credentials.
const CodeCredentials = "CredentialsUnavailable"

// Secret reads the current text of a secret, in the region that its ARN names.
// Nothing is cached.
func Secret(c aws.Config, arn string) func(context.Context) (string, error) {
	client := secretsmanager.NewFromConfig(c, func(o *secretsmanager.Options) {
		if parts := strings.Split(arn, ":"); len(parts) > 3 {
			o.Region = parts[3]
		}
	})
	return func(ctx context.Context) (string, error) {
		out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(arn)})
		if err != nil {
			return "", fmt.Errorf("read secret %s: %w", arn, err)
		}
		return aws.ToString(out.SecretString), nil
	}
}

type secretCredentials struct {
	read func(context.Context) (string, error)
}

// Retrieve reads the secret.
func (s secretCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	text, err := s.read(ctx)
	if err != nil {
		return aws.Credentials{}, unavailable(err)
	}
	var keys struct {
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
	}
	// The decoder's own error would quote the secret.
	if json.Unmarshal([]byte(text), &keys) != nil || keys.AccessKeyID == "" || keys.SecretAccessKey == "" {
		return aws.Credentials{}, unavailable(errors.New("the credentials_secret is not JSON with access_key_id and secret_access_key"))
	}
	return aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, Source: "credentials_secret"}, nil
}

type assumed struct{ role aws.CredentialsProvider }

// Retrieve assumes the role.
func (a assumed) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := a.role.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, unavailable(err)
	}
	return c, nil
}

func unavailable(err error) error {
	return &object.Error{Class: object.Retryable, Op: "get credentials", Code: CodeCredentials, Err: err}
}
