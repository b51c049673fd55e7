// What a program in a container of ECS does with AWS's SDK for Go as it comes: the words of its command, one after the
// other. It is told nothing of where AWS is, or of who it is.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// Between two looks, or two calls.
const pause = 100 * time.Millisecond

// Where it is told to end.
var told = make(chan os.Signal, 1)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(1))
	if err != nil {
		fmt.Println("configuration:", err)
		os.Exit(2)
	}
	words := os.Args[1:]
	ends := time.Now()
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch word {
		case "identity":
			out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
			say(word, err, func() string { return *out.Arn })
		case "repositories":
			out, err := ecr.NewFromConfig(cfg).DescribeRepositories(ctx, nil)
			say(word, err, func() string { return *out.Repositories[0].RepositoryName })
		case "login":
			out, err := ecr.NewFromConfig(cfg).GetAuthorizationToken(ctx, nil)
			say(word, err, func() string { return *out.AuthorizationData[0].ProxyEndpoint })
		case "clusters":
			out, err := ecs.NewFromConfig(cfg).ListClusters(ctx, nil)
			say(word, err, func() string { return fmt.Sprint(out.ClusterArns) })
		case "provider":
			out, err := cfg.Credentials.Retrieve(ctx)
			say(word, err, func() string { return fmt.Sprint(out.Source, " ", out.CanExpire) })
		case "key":
			out, err := cfg.Credentials.Retrieve(ctx)
			say(word, err, func() string { return out.AccessKeyID })
			ends = out.Expires
		case "outlive":
			// The key that was told last.
			time.Sleep(time.Until(ends))
		case "repeat":
			// The word that follows, until the program is told to end.
			signal.Notify(told, syscall.SIGTERM)
			select {
			case <-told:
				return
			case <-time.After(pause):
				words = append([]string{words[0], word}, words...)
			}
		case "running":
			// Until the metadata says that the task runs.
			for !isRunning() && ctx.Err() == nil {
				time.Sleep(pause)
			}
		case "root":
			cfg.Credentials = credentials.NewStaticCredentialsProvider("test", "test", "")
		case "get", "post":
			// Of the address that AWS is at.
			answer := ask(word, os.Getenv("AWS_ENDPOINT_URL")+words[0])
			fmt.Println(word, words[0], answer)
			words = words[1:]
		case "metadata":
			show(os.Getenv("ECS_CONTAINER_METADATA_URI_V4") + words[0])
			words = words[1:]
		case "address":
			fmt.Println(word, os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
		case "wait":
			signal.Notify(told, syscall.SIGTERM)
			<-told
			return
		default:
			fmt.Println("no such word:", word)
			os.Exit(8)
		}
	}
}

func say(word string, err error, answer func() string) {
	var refused smithy.APIError
	switch {
	case err == nil:
		fmt.Println(word, answer())
	case errors.As(err, &refused):
		fmt.Println(word, "refused", refused.ErrorCode(), refused.ErrorMessage())
	default:
		fmt.Println(word, "failed", strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

// ask tells the status and the first words of an answer.
func ask(method, url string) string {
	request, err := http.NewRequest(strings.ToUpper(method), url, bytes.NewReader(nil))
	if err != nil {
		return err.Error()
	}
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
	return fmt.Sprint(answer.StatusCode, " ", strings.TrimSpace(string(body)))
}

// isRunning asks the metadata of the task.
func isRunning() bool {
	answer, err := http.Get(os.Getenv("ECS_CONTAINER_METADATA_URI_V4") + "/task")
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var task struct{ KnownStatus string }
	return json.NewDecoder(answer.Body).Decode(&task) == nil && task.KnownStatus == "RUNNING"
}

// show writes each member of a JSON answer as a line of its own.
func show(url string) {
	answer, err := http.Get(url)
	if err != nil {
		fmt.Println("metadata", err)
		return
	}
	defer answer.Body.Close()
	var known any
	if err := json.NewDecoder(answer.Body).Decode(&known); err != nil {
		fmt.Println("metadata", err)
		return
	}
	object, ok := known.(map[string]any)
	if !ok {
		fmt.Println("metadata", answer.StatusCode, known)
		return
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text, _ := json.Marshal(object[name])
		fmt.Printf("metadata %s %s\n", name, text)
	}
}
