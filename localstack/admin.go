package main

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/localstack/signed"
)

// admin is the admin API of one deployment.
type admin struct {
	account aws.Config
	url     string // as of the output AdminUrl, without a slash at its end
	place   string // where that is, for people
}

// findAdmin finds the API at ADMIN_URL if that is set, else the one of the
// stack where target says.
func findAdmin(ctx context.Context, stack string) (admin, error) {
	account, local, err := target(ctx)
	if err != nil {
		return admin{}, err
	}
	if local != nil {
		outputs, err := local.Deployed()
		if err != nil {
			return admin{}, err
		}
		a := admin{account, cloud.AdminURL(local.URL(), outputs), "the local cloud at " + local.URL()}
		if a.url == "" {
			return admin{}, errors.New("the local cloud runs without the stack; make local-up deploys it")
		}
		return a, nil
	}
	if account.Region == "" {
		return admin{}, errors.New("no region: set AWS_REGION, or choose a profile that has one")
	}
	if u := os.Getenv("ADMIN_URL"); u != "" {
		return admin{account, strings.TrimSuffix(u, "/"), u}, nil
	}
	id, outputs, err := describeStack(ctx, account, stack)
	if err != nil {
		return admin{}, fmt.Errorf("find stack %s: %w", stack, err)
	}
	a := admin{account, strings.TrimSuffix(outputs["AdminUrl"], "/"), fmt.Sprintf("stack %s of account %s in %s", stack, id.AccountID, id.Region)}
	if endpoint := aws.ToString(account.BaseEndpoint); endpoint != "" {
		a.url, a.place = cloud.AdminURL(endpoint, outputs), "stack "+stack+" at "+endpoint
	}
	if a.url == "" {
		return admin{}, fmt.Errorf("stack %s has no output AdminUrl: deploy it again", stack)
	}
	return a, nil
}

// describeStack answers the ARN of a stack and its outputs, by name.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
func describeStack(ctx context.Context, account aws.Config, name string) (arn.ARN, map[string]string, error) {
	suffix := "amazonaws.com"
	if strings.HasPrefix(account.Region, "cn-") {
		suffix += ".cn"
	}
	endpoint := cmp.Or(aws.ToString(account.BaseEndpoint), "https://cloudformation."+account.Region+"."+suffix)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/", nil)
	if err != nil {
		return arn.ARN{}, nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	form := url.Values{"Action": {"DescribeStacks"}, "Version": {"2010-05-15"}, "StackName": {name}}
	status, answer, err := signed.Do(account, "cloudformation", r, form.Encode())
	if err != nil {
		return arn.ARN{}, nil, err
	}
	if status != http.StatusOK {
		var refused struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
		}
		if err := xml.Unmarshal(answer, &refused); err != nil {
			return arn.ARN{}, nil, fmt.Errorf("CloudFormation answered %d: %s", status, answer)
		}
		return arn.ARN{}, nil, fmt.Errorf("%s: %s", refused.Code, refused.Message)
	}
	var found struct {
		ID      string `xml:"DescribeStacksResult>Stacks>member>StackId"`
		Outputs []struct {
			Name  string `xml:"OutputKey"`
			Value string `xml:"OutputValue"`
		} `xml:"DescribeStacksResult>Stacks>member>Outputs>member"`
	}
	if err := xml.Unmarshal(answer, &found); err != nil {
		return arn.ARN{}, nil, err
	}
	id, err := arn.Parse(found.ID)
	if err != nil {
		return arn.ARN{}, nil, err
	}
	outputs := map[string]string{}
	for _, o := range found.Outputs {
		outputs[o.Name] = o.Value
	}
	return id, outputs, nil
}

// call makes one signed request, and answers status and body as they came. An
// answer that says no is an error with the API's message, which has all details.
func (a admin) call(ctx context.Context, method, path string) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, a.url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	status, answer, err = signed.Do(a.account, "execute-api", r, "")
	if err != nil || status < 300 {
		return status, answer, err
	}
	var no struct {
		Error   struct{ Message string }
		Message string // of API Gateway itself
	}
	_ = json.Unmarshal(answer, &no) // what is no JSON is told as it is
	return status, nil, errors.New(cmp.Or(no.Error.Message, no.Message, fmt.Sprintf("%s answered %d: %s", r.URL, status, answer)))
}

// get decodes the answer to a GET.
func (a admin) get(ctx context.Context, path string, into any) ([]byte, error) {
	_, answer, err := a.call(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	return answer, json.Unmarshal(answer, into)
}
