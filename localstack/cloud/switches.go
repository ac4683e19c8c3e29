package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"

	"bucket-replicator/localstack/signed"
)

// Request makes one signed request to a service of this cloud, and answers the
// body. A status other than 2xx is an error that has it.
func (c *Cloud) Request(ctx context.Context, service, method, path string, header http.Header, body string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.URL()+path, nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, header)
	status, answer, err := signed.Do(c.AWS(), service, r, body)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("%s %s %s answered %d: %s", service, method, path, status, answer)
	}
	return answer, err
}

// Ticks switches the schedule's ticks on or off. A test that starts runs itself
// wants none.
func (c *Cloud) Ticks(ctx context.Context, on bool) error {
	call := func(operation, body string) ([]byte, error) {
		return c.Request(ctx, "events", http.MethodPost, "/", http.Header{
			"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"AWSEvents." + operation},
		}, body)
	}
	answer, err := call("ListRules", "{}")
	if err != nil {
		return err
	}
	var list struct {
		Rules []struct{ Name, ScheduleExpression string }
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	operation := "DisableRule"
	if on {
		operation = "EnableRule"
	}
	switched := 0
	for _, r := range list.Rules {
		if r.ScheduleExpression == "" {
			continue
		}
		if _, err := call(operation, fmt.Sprintf(`{"Name":%q}`, r.Name)); err != nil {
			return err
		}
		switched++
	}
	if switched != 1 {
		return fmt.Errorf("%d rules have a schedule: %+v", switched, list.Rules)
	}
	return nil
}

// Deny takes an action on a resource from the role of a function, by its name in
// the stack's outputs, until the answer is called. Only a cloud that was started
// with AUTH=true looks at that.
func (c *Cloud) Deny(ctx context.Context, s Stack, function, action, resource string) (allow func(context.Context) error, err error) {
	answer, err := c.Request(ctx, "lambda", http.MethodGet, "/2015-03-31/functions/"+s.Outputs[function]+"/configuration", nil, "")
	if err != nil {
		return nil, err
	}
	var configuration struct{ Role string }
	if err := json.Unmarshal(answer, &configuration); err != nil {
		return nil, err
	}
	call := func(ctx context.Context, action string, more url.Values) error {
		form := url.Values{"Version": {"2010-05-08"}, "Action": {action}, "RoleName": {path.Base(configuration.Role)}, "PolicyName": {"deny"}}
		maps.Copy(form, more)
		_, err := c.Request(ctx, "iam", http.MethodPost, "/", http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}, form.Encode())
		return err
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{
		map[string]string{"Effect": "Deny", "Action": action, "Resource": resource},
	}})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return call(ctx, "DeleteRolePolicy", nil) },
		call(ctx, "PutRolePolicy", url.Values{"PolicyDocument": {string(policy)}})
}

// Workers switches the workers of runs on or off: their tickets wait in the
// queue meanwhile.
func (c *Cloud) Workers(ctx context.Context, s Stack, on bool) error {
	answer, err := c.Request(ctx, "lambda", http.MethodGet, "/2015-03-31/event-source-mappings/?FunctionName="+s.Outputs["ReconcileFunction"], nil, "")
	if err != nil {
		return err
	}
	var list struct {
		EventSourceMappings []struct{ UUID string }
	}
	if err := json.Unmarshal(answer, &list); err != nil || len(list.EventSourceMappings) != 1 {
		return fmt.Errorf("the event sources are %s (%w)", answer, err)
	}
	_, err = c.Request(ctx, "lambda", http.MethodPut, "/2015-03-31/event-source-mappings/"+list.EventSourceMappings[0].UUID, nil, fmt.Sprintf(`{"Enabled":%t}`, on))
	return err
}
