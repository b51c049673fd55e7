package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

const (
	pull = `{"Statement":[{"Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Sid":"pull"}],"Version":"2012-10-17"}`
	keep = `{"rules":[{"action":{"type":"expire"},"description":"the last %d","rulePriority":1,"selection":{"countNumber":%d,"countType":"imageCountMoreThan","tagStatus":"any"}}]}`
	// An image that is made of nothing.
	empty = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
)

func (p *provider) createRepository(name string) (types.Repository, error) {
	made, err := p.ecr.CreateRepository(p.ctx, &ecr.CreateRepositoryInput{
		RepositoryName:             &name,
		EncryptionConfiguration:    &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeAes256},
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
		ImageTagMutability:         types.ImageTagMutabilityImmutable,
		Tags:                       []types.Tag{{Key: aws.String("team"), Value: aws.String("web")}},
	})
	if err != nil {
		return types.Repository{}, err
	}
	return *made.Repository, nil
}

func (p *provider) describeRepository(name string) (types.Repository, error) {
	got, err := p.ecr.DescribeRepositories(p.ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}, RegistryId: &p.account})
	if err != nil {
		return types.Repository{}, err
	}
	if len(got.Repositories) != 1 {
		return types.Repository{}, fmt.Errorf("%d repositories are named %s", len(got.Repositories), name)
	}
	return got.Repositories[0], nil
}

func (p *provider) destroyRepository(name string, force bool) error {
	if _, err := p.ecr.DeleteRepository(p.ctx, &ecr.DeleteRepositoryInput{RepositoryName: &name, RegistryId: &p.account, Force: force}); err != nil {
		return err
	}
	_, err := p.describeRepository(name)
	return refused[*types.RepositoryNotFoundException]("read", err)
}

func repository(p *provider) error {
	name := "terraform/app"
	type state struct {
		URL, ARN, Registry string
		Mutability         types.ImageTagMutability
		Scans              bool
		Encryption         types.EncryptionType
		Tags               map[string]string
	}
	read := func() (state, error) {
		got, err := p.describeRepository(name)
		if err != nil {
			return state{}, err
		}
		tags, err := p.ecr.ListTagsForResource(p.ctx, &ecr.ListTagsForResourceInput{ResourceArn: got.RepositoryArn})
		if err != nil {
			return state{}, err
		}
		found := map[string]string{}
		for _, tag := range tags.Tags {
			found[*tag.Key] = *tag.Value
		}
		return state{*got.RepositoryUri, *got.RepositoryArn, *got.RegistryId, got.ImageTagMutability, got.ImageScanningConfiguration.ScanOnPush, got.EncryptionConfiguration.EncryptionType, found}, nil
	}
	var made state
	expect := func(wanted func(state) state) func() error {
		return func() error {
			got, err := clean(read)
			if err != nil {
				return err
			}
			return same("repository", got, wanted(made))
		}
	}
	return steps(
		step{"create", func() error {
			created, err := p.createRepository(name)
			if err != nil {
				return err
			}
			made = state{*created.RepositoryUri, *created.RepositoryArn, *created.RegistryId, types.ImageTagMutabilityImmutable, true, types.EncryptionTypeAes256, map[string]string{"team": "web"}}
			return same("arn", made.ARN, fmt.Sprintf("arn:aws:ecr:%s:%s:repository/%s", p.region, p.account, name))
		}},
		step{"create again", func() error {
			_, err := p.createRepository(name)
			return refused[*types.RepositoryAlreadyExistsException]("create", err)
		}},
		step{"read", expect(func(made state) state { return made })},
		step{"change", func() error {
			if _, err := p.ecr.PutImageTagMutability(p.ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: &name, RegistryId: &p.account, ImageTagMutability: types.ImageTagMutabilityMutable}); err != nil {
				return err
			}
			if _, err := p.ecr.PutImageScanningConfiguration(p.ctx, &ecr.PutImageScanningConfigurationInput{RepositoryName: &name, RegistryId: &p.account, ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: false}}); err != nil {
				return err
			}
			if _, err := p.ecr.UntagResource(p.ctx, &ecr.UntagResourceInput{ResourceArn: &made.ARN, TagKeys: []string{"team"}}); err != nil {
				return err
			}
			_, err := p.ecr.TagResource(p.ctx, &ecr.TagResourceInput{ResourceArn: &made.ARN, Tags: []types.Tag{{Key: aws.String("stage"), Value: aws.String("prod")}}})
			return err
		}},
		step{"read the change", expect(func(made state) state {
			made.Mutability, made.Scans, made.Tags = types.ImageTagMutabilityMutable, false, map[string]string{"stage": "prod"}
			return made
		})},
		step{"one with images stays", func() error {
			if _, err := p.ecr.PutImage(p.ctx, &ecr.PutImageInput{RepositoryName: &name, ImageManifest: aws.String(empty), ImageTag: aws.String("v1")}); err != nil {
				return err
			}
			return refused[*types.RepositoryNotEmptyException]("delete", p.destroyRepository(name, false))
		}},
		step{"destroy with force_delete", func() error { return p.destroyRepository(name, true) }},
		step{"destroy again", func() error {
			return refused[*types.RepositoryNotFoundException]("delete", p.destroyRepository(name, true))
		}},
	)
}

func repositoryPolicy(p *provider) error {
	name := "terraform/shared"
	read := func() (string, error) {
		got, err := p.ecr.GetRepositoryPolicy(p.ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: &name, RegistryId: &p.account})
		if err != nil {
			return "", err
		}
		return *got.PolicyText, nil
	}
	set := func(text string) error {
		_, err := p.ecr.SetRepositoryPolicy(p.ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: &name, PolicyText: &text})
		return err
	}
	apply := func(text string) func() error {
		return func() error {
			if err := set(text); err != nil {
				return err
			}
			got, err := clean(read)
			if err != nil {
				return err
			}
			return sameDocument("policy", got, text)
		}
	}
	return steps(
		step{"its repository", func() error { _, err := p.createRepository(name); return err }},
		step{"a principal that isn't there yet", func() error {
			err := set(strings.Replace(pull, "arn:aws:iam::111122223333:root", fmt.Sprintf("arn:aws:iam::%s:role/not-yet", p.account), 1))
			if err := refused[*types.InvalidParameterException]("set", err); err != nil {
				return err
			}
			// What ECR says since 2024 (terraform-provider-aws #39064).
			if !strings.Contains(err.Error(), "Principal not found") {
				return err
			}
			return nil
		}},
		step{"create and read", apply(pull)},
		step{"change and read", apply(strings.Replace(pull, `,"ecr:GetDownloadUrlForLayer"`, "", 1))},
		step{"destroy", func() error {
			_, err := p.ecr.DeleteRepositoryPolicy(p.ctx, &ecr.DeleteRepositoryPolicyInput{RepositoryName: &name, RegistryId: &p.account})
			return err
		}},
		step{"destroyed", func() error { _, err := read(); return refused[*types.RepositoryPolicyNotFoundException]("read", err) }},
		step{"destroy its repository", func() error { return p.destroyRepository(name, false) }},
	)
}

func lifecyclePolicy(p *provider) error {
	name := "terraform/few"
	read := func() (string, error) {
		got, err := p.ecr.GetLifecyclePolicy(p.ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: &name})
		if err != nil {
			return "", err
		}
		return *got.LifecyclePolicyText, nil
	}
	apply := func(count int) func() error {
		return func() error {
			text := fmt.Sprintf(keep, count, count)
			if _, err := p.ecr.PutLifecyclePolicy(p.ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: &name, LifecyclePolicyText: &text}); err != nil {
				return err
			}
			got, err := clean(read)
			if err != nil {
				return err
			}
			return sameDocument("policy", got, text)
		}
	}
	return steps(
		step{"its repository", func() error { _, err := p.createRepository(name); return err }},
		step{"not there yet", func() error { _, err := read(); return refused[*types.LifecyclePolicyNotFoundException]("read", err) }},
		step{"create and read", apply(10)},
		step{"change and read", apply(30)},
		step{"destroy", func() error {
			_, err := p.ecr.DeleteLifecyclePolicy(p.ctx, &ecr.DeleteLifecyclePolicyInput{RepositoryName: &name})
			return err
		}},
		step{"destroyed", func() error { _, err := read(); return refused[*types.LifecyclePolicyNotFoundException]("read", err) }},
		step{"destroy its repository", func() error { return p.destroyRepository(name, false) }},
	)
}
