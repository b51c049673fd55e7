// Replays what Terraform's AWS provider does with each resource, by the SDK that it is made of: create, read
// until a plan is empty, change, destroy, read once more. Each step expects the errors that the provider
// expects. The order of calls is that of hashicorp/aws: internal/service/{iam,ecr,ecs}.
//
//	terraform            the names of the resources
//	terraform RESOURCE   one of them; a line and exit code 1 when it doesn't go as it should
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// The longest time in which something here becomes what it is to be.
const settleMax = 60 * time.Second

// How long to wait between two looks.
const lookEvery = 50 * time.Millisecond

// A provider is what all resources share: its clients, and what it learned when it was configured.
type provider struct {
	ctx     context.Context
	iam     *iam.Client
	ecr     *ecr.Client
	ecs     *ecs.Client
	account string
	region  string
}

// A resource is created, read, changed and destroyed.
type resource struct {
	name string
	run  func(*provider) error
}

var resources = []resource{
	{"aws_iam_openid_connect_provider", oidcProvider},
	{"aws_iam_role", role},
	{"aws_iam_policy", managedPolicy},
	{"aws_iam_role_policy", rolePolicy},
	{"aws_iam_role_policy_attachment", attachment},
	{"aws_ecr_repository", repository},
	{"aws_ecr_repository_policy", repositoryPolicy},
	{"aws_ecr_lifecycle_policy", lifecyclePolicy},
	{"aws_ecs_cluster", cluster},
	{"aws_ecs_task_definition", taskDefinition},
	{"aws_ecs_service", service},
}

func main() {
	if len(os.Args) != 2 {
		for _, one := range resources {
			fmt.Println(one.name)
		}
		return
	}
	for _, one := range resources {
		if one.name != os.Args[1] {
			continue
		}
		if err := start(one.run); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", one.name, err)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintf(os.Stderr, "there is no resource %s\n", os.Args[1])
	os.Exit(2)
}

// Configures a provider as Terraform does, and has it run a resource.
func start(run func(*provider) error) error {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	// It validates the credentials, and learns its account from the answer.
	identity, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return fmt.Errorf("configuring the provider: %w", err)
	}
	own := &provider{
		ctx:     ctx,
		iam:     iam.NewFromConfig(cfg),
		ecr:     ecr.NewFromConfig(cfg),
		ecs:     ecs.NewFromConfig(cfg),
		account: *identity.Account,
		region:  cfg.Region,
	}
	return run(own)
}

// Reads twice, as a plan after an apply does: the second time has to find what the first one found. Says what
// was found.
func clean[T any](read func() (T, error)) (T, error) {
	first, err := read()
	if err != nil {
		return first, err
	}
	second, err := read()
	if err != nil {
		return second, err
	}
	return second, same("a second read", second, first)
}

// An error when what was got isn't what was wanted.
func same(what string, got, wanted any) error {
	if reflect.DeepEqual(got, wanted) {
		return nil
	}
	return fmt.Errorf("%s: got %s, wanted %s", what, shown(got), shown(wanted))
}

func shown(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%#v", value)
	}
	return string(text)
}

// An error when a call didn't fail as the provider expects of it.
func refused[E error](what string, err error) error {
	var wanted E
	if errors.As(err, &wanted) {
		return nil
	}
	return fmt.Errorf("%s: got %v, wanted %T", what, err, wanted)
}

// Looks again and again until it is so.
func settle(what string, look func() (bool, error)) error {
	for deadline := time.Now().Add(settleMax); ; time.Sleep(lookEvery) {
		done, err := look()
		if err != nil || done {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s", what, settleMax)
		}
	}
}

// A policy as the API gives it back says the same as what was written: the provider compares what policies say.
func sameDocument(what, got, wanted string) error {
	var left, right any
	if err := json.Unmarshal([]byte(got), &left); err != nil {
		return fmt.Errorf("%s: %w in %q", what, err, got)
	}
	if err := json.Unmarshal([]byte(wanted), &right); err != nil {
		return err
	}
	return same(what, plain(left), plain(right))
}

// A list of one text is that text.
func plain(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			value[key] = plain(item)
		}
	case []any:
		if len(value) == 1 {
			return plain(value[0])
		}
		for index, item := range value {
			value[index] = plain(item)
		}
	}
	return value
}

// A document of IAM's answers, which are encoded for URLs.
func decoded(text string) (string, error) {
	return url.QueryUnescape(text)
}

// Runs steps until one fails, and says which.
func steps(all ...step) error {
	for _, one := range all {
		if err := one.do(); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	return nil
}

type step struct {
	name string
	do   func() error
}
