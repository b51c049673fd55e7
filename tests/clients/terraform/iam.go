package main

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const (
	host = "token.actions.githubusercontent.com"
	// As aws_iam_policy_document writes it: two spaces, and single values without a list.
	written = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "push",
      "Effect": "Allow",
      "Action": [
        "ecr:PutImage",
        "ecr:GetAuthorizationToken"
      ],
      "Resource": "*"
    }
  ]
}`
	// As jsonencode writes it: keys in order, no spaces.
	encoded = `{"Statement":[{"Action":["ecr:BatchGetImage"],"Effect":"Allow","Resource":["*"]}],"Version":"2012-10-17"}`
)

func trust(account, subject string) string {
	return fmt.Sprintf(`{"Statement":[{"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%[1]s:aud":"sts.amazonaws.com"},"StringLike":{"%[1]s:sub":%[3]q}},"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::%[2]s:oidc-provider/%[1]s"}}],"Version":"2012-10-17"}`, host, account, subject)
}

// The reads of `list` in order of its tags.
func tagged(tags []types.Tag) map[string]string {
	found := map[string]string{}
	for _, tag := range tags {
		found[*tag.Key] = *tag.Value
	}
	return found
}

func tag(key, value string) []types.Tag {
	return []types.Tag{{Key: aws.String(key), Value: aws.String(value)}}
}

func (p *provider) createProvider(thumbprints ...string) (*string, error) {
	made, err := p.iam.CreateOpenIDConnectProvider(p.ctx, &iam.CreateOpenIDConnectProviderInput{
		Url:            aws.String("https://" + host),
		ClientIDList:   []string{"sts.amazonaws.com"},
		ThumbprintList: thumbprints,
		Tags:           tag("team", "web"),
	})
	if err != nil {
		return nil, err
	}
	return made.OpenIDConnectProviderArn, nil
}

func (p *provider) deleteProvider(arn *string) error {
	_, err := p.iam.DeleteOpenIDConnectProvider(p.ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	return err
}

func oidcProvider(p *provider) error {
	type state struct {
		URL                    string
		ClientIDs, Thumbprints []string
		Tags                   map[string]string
	}
	var arn *string
	read := func() (state, error) {
		got, err := p.iam.GetOpenIDConnectProvider(p.ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
		if err != nil {
			return state{}, err
		}
		return state{*got.Url, got.ClientIDList, got.ThumbprintList, tagged(got.Tags)}, nil
	}
	expect := func(wanted state) func() error {
		return func() error {
			got, err := clean(read)
			if err != nil {
				return err
			}
			return same("provider", got, wanted)
		}
	}
	print := "6938fd4d98bab03faadb97b34396831e3780aea1"
	return steps(
		step{"create", func() (err error) { arn, err = p.createProvider(print); return }},
		step{"read", expect(state{host, []string{"sts.amazonaws.com"}, []string{print}, map[string]string{"team": "web"}})},
		step{"change", func() error {
			other := &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{"1c58a3a8518e8759bf075b76b750d4f2df264fcd"}}
			if _, err := p.iam.UpdateOpenIDConnectProviderThumbprint(p.ctx, other); err != nil {
				return err
			}
			if _, err := p.iam.AddClientIDToOpenIDConnectProvider(p.ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("https://github.com/acme")}); err != nil {
				return err
			}
			if _, err := p.iam.RemoveClientIDFromOpenIDConnectProvider(p.ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("sts.amazonaws.com")}); err != nil {
				return err
			}
			if _, err := p.iam.UntagOpenIDConnectProvider(p.ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, TagKeys: []string{"team"}}); err != nil {
				return err
			}
			_, err := p.iam.TagOpenIDConnectProvider(p.ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, Tags: tag("stage", "prod")})
			return err
		}},
		step{"read the change", expect(state{host, []string{"https://github.com/acme"}, []string{"1c58a3a8518e8759bf075b76b750d4f2df264fcd"}, map[string]string{"stage": "prod"}})},
		step{"destroy", func() error { return p.deleteProvider(arn) }},
		step{"destroyed", func() error { _, err := read(); return refused[*types.NoSuchEntityException]("read", err) }},
		step{"destroy again", func() error { return refused[*types.NoSuchEntityException]("delete", p.deleteProvider(arn)) }},
	)
}

// What the provider reads of a role.
type roleState struct {
	Trust, Description, Boundary string
	Seconds                      int32
	Tags, Inline                 map[string]string
	Attached                     []string
}

func (p *provider) readRole(name *string) (roleState, error) {
	got, err := p.iam.GetRole(p.ctx, &iam.GetRoleInput{RoleName: name})
	if err != nil {
		return roleState{}, err
	}
	role := got.Role
	state := roleState{Description: aws.ToString(role.Description), Seconds: *role.MaxSessionDuration, Tags: tagged(role.Tags), Inline: map[string]string{}}
	if state.Trust, err = decoded(*role.AssumeRolePolicyDocument); err != nil {
		return state, err
	}
	if role.PermissionsBoundary != nil {
		state.Boundary = *role.PermissionsBoundary.PermissionsBoundaryArn
	}
	inline := iam.NewListRolePoliciesPaginator(p.iam, &iam.ListRolePoliciesInput{RoleName: name})
	for inline.HasMorePages() {
		page, err := inline.NextPage(p.ctx)
		if err != nil {
			return state, err
		}
		for _, policy := range page.PolicyNames {
			got, err := p.iam.GetRolePolicy(p.ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: &policy})
			if err != nil {
				return state, err
			}
			if state.Inline[policy], err = decoded(*got.PolicyDocument); err != nil {
				return state, err
			}
		}
	}
	attached := iam.NewListAttachedRolePoliciesPaginator(p.iam, &iam.ListAttachedRolePoliciesInput{RoleName: name})
	for attached.HasMorePages() {
		page, err := attached.NextPage(p.ctx)
		if err != nil {
			return state, err
		}
		for _, policy := range page.AttachedPolicies {
			state.Attached = append(state.Attached, *policy.PolicyArn)
		}
	}
	return state, nil
}

func (p *provider) createRole(name string) error {
	_, err := p.iam.CreateRole(p.ctx, &iam.CreateRoleInput{
		RoleName:                 &name,
		Path:                     aws.String("/"),
		AssumeRolePolicyDocument: aws.String(trust(p.account, "repo:acme/api:*")),
		MaxSessionDuration:       aws.Int32(3600),
		Tags:                     tag("team", "web"),
	})
	return err
}

// Destroys a role as the provider does with force_detach_policies.
func (p *provider) destroyRole(name string) error {
	profiles, err := p.iam.ListInstanceProfilesForRole(p.ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: &name})
	if err != nil {
		return err
	}
	for _, profile := range profiles.InstanceProfiles {
		if _, err := p.iam.RemoveRoleFromInstanceProfile(p.ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: profile.InstanceProfileName, RoleName: &name}); err != nil {
			return err
		}
	}
	state, err := p.readRole(&name)
	if err != nil {
		return err
	}
	for _, arn := range state.Attached {
		if _, err := p.iam.DetachRolePolicy(p.ctx, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: &arn}); err != nil {
			return err
		}
	}
	for policy := range state.Inline {
		if _, err := p.iam.DeleteRolePolicy(p.ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy}); err != nil {
			return err
		}
	}
	if _, err := p.iam.DeleteRole(p.ctx, &iam.DeleteRoleInput{RoleName: &name}); err != nil {
		return err
	}
	_, err = p.iam.GetRole(p.ctx, &iam.GetRoleInput{RoleName: &name})
	return refused[*types.NoSuchEntityException]("read", err)
}

// A role in an account that has the provider, as the trust policy asks for.
func withProvider(p *provider, run func() error) error {
	arn, err := p.createProvider()
	if err != nil {
		return fmt.Errorf("the role's provider: %w", err)
	}
	if err := run(); err != nil {
		return err
	}
	return p.deleteProvider(arn)
}

func role(p *provider) error {
	name := aws.String("terraform-role")
	managed := "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"
	boundary := "arn:aws:iam::aws:policy/PowerUserAccess"
	expect := func(subject string, wanted roleState) func() error {
		return func() error {
			got, err := clean(func() (roleState, error) { return p.readRole(name) })
			if err != nil {
				return err
			}
			if err := sameDocument("assume_role_policy", got.Trust, trust(p.account, subject)); err != nil {
				return err
			}
			got.Trust = ""
			return same("role", got, wanted)
		}
	}
	return withProvider(p, func() error {
		return steps(
			step{"a principal that isn't there yet", func() error {
				_, err := p.iam.CreateRole(p.ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:role/not-yet"},"Action":"sts:AssumeRole"}]}`, p.account))})
				// It tries again on this one, for two minutes.
				return refused[*types.MalformedPolicyDocumentException]("create", err)
			}},
			step{"create", func() error { return p.createRole(*name) }},
			step{"read", expect("repo:acme/api:*", roleState{Seconds: 3600, Tags: map[string]string{"team": "web"}, Inline: map[string]string{}})},
			step{"change", func() error {
				if _, err := p.iam.UpdateAssumeRolePolicy(p.ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(trust(p.account, "repo:acme/api:environment:prod"))}); err != nil {
					return err
				}
				if _, err := p.iam.UpdateRoleDescription(p.ctx, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: aws.String("deploys")}); err != nil {
					return err
				}
				if _, err := p.iam.UpdateRole(p.ctx, &iam.UpdateRoleInput{RoleName: name, Description: aws.String("deploys"), MaxSessionDuration: aws.Int32(7200)}); err != nil {
					return err
				}
				if _, err := p.iam.PutRolePermissionsBoundary(p.ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: &boundary}); err != nil {
					return err
				}
				if _, err := p.iam.UntagRole(p.ctx, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{"team"}}); err != nil {
					return err
				}
				if _, err := p.iam.TagRole(p.ctx, &iam.TagRoleInput{RoleName: name, Tags: tag("stage", "prod")}); err != nil {
					return err
				}
				if _, err := p.iam.AttachRolePolicy(p.ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: &managed}); err != nil {
					return err
				}
				_, err := p.iam.PutRolePolicy(p.ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("own"), PolicyDocument: aws.String(encoded)})
				return err
			}},
			step{"read the change", expect("repo:acme/api:environment:prod", roleState{
				Description: "deploys", Boundary: boundary, Seconds: 7200, Tags: map[string]string{"stage": "prod"},
				Inline: map[string]string{"own": encoded}, Attached: []string{managed},
			})},
			step{"take the boundary away", func() error {
				if _, err := p.iam.DeleteRolePermissionsBoundary(p.ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name}); err != nil {
					return err
				}
				got, err := p.readRole(name)
				if err != nil {
					return err
				}
				return same("permissions_boundary", got.Boundary, "")
			}},
			step{"a role with policies stays", func() error {
				_, err := p.iam.DeleteRole(p.ctx, &iam.DeleteRoleInput{RoleName: name})
				return refused[*types.DeleteConflictException]("delete", err)
			}},
			step{"destroy", func() error { return p.destroyRole(*name) }},
		)
	})
}

func managedPolicy(p *provider) error {
	var arn *string
	read := func() (string, error) {
		got, err := p.iam.GetPolicy(p.ctx, &iam.GetPolicyInput{PolicyArn: arn})
		if err != nil {
			return "", err
		}
		version, err := p.iam.GetPolicyVersion(p.ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: got.Policy.DefaultVersionId})
		if err != nil {
			return "", err
		}
		return decoded(*version.PolicyVersion.Document)
	}
	expect := func(wanted string) error {
		got, err := clean(read)
		if err != nil {
			return err
		}
		return sameDocument("policy", got, wanted)
	}
	change := func(document string) error {
		all, err := p.iam.ListPolicyVersions(p.ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn})
		if err != nil {
			return err
		}
		if len(all.Versions) >= 5 {
			if err := p.deleteVersion(arn, oldest(all.Versions)); err != nil {
				return err
			}
		}
		made, err := p.iam.CreatePolicyVersion(p.ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &document, SetAsDefault: false})
		if err != nil {
			return err
		}
		_, err = p.iam.SetDefaultPolicyVersion(p.ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: made.PolicyVersion.VersionId})
		return err
	}
	return steps(
		step{"create", func() error {
			made, err := p.iam.CreatePolicy(p.ctx, &iam.CreatePolicyInput{PolicyName: aws.String("terraform-policy"), Path: aws.String("/"), Description: aws.String("pushes"), PolicyDocument: aws.String(written)})
			if err == nil {
				arn = made.Policy.Arn
			}
			return err
		}},
		step{"read", func() error { return expect(written) }},
		step{"change six times", func() error {
			for number := range 6 {
				document := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get%d","Resource":"*"}]}`, number)
				if err := change(document); err != nil {
					return err
				}
				if err := expect(document); err != nil {
					return err
				}
			}
			return nil
		}},
		step{"destroy", func() error {
			all, err := p.iam.ListPolicyVersions(p.ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn})
			if err != nil {
				return err
			}
			for _, version := range all.Versions {
				if version.IsDefaultVersion {
					continue
				}
				if err := p.deleteVersion(arn, version.VersionId); err != nil {
					return err
				}
			}
			_, err = p.iam.DeletePolicy(p.ctx, &iam.DeletePolicyInput{PolicyArn: arn})
			return err
		}},
		step{"destroyed", func() error { _, err := read(); return refused[*types.NoSuchEntityException]("read", err) }},
	)
}

func (p *provider) deleteVersion(arn, version *string) error {
	_, err := p.iam.DeletePolicyVersion(p.ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: version})
	return err
}

func oldest(versions []types.PolicyVersion) *string {
	var found *string
	lowest := 0
	for _, version := range versions {
		number, _ := strconv.Atoi((*version.VersionId)[1:])
		if !version.IsDefaultVersion && (found == nil || number < lowest) {
			found, lowest = version.VersionId, number
		}
	}
	return found
}

func rolePolicy(p *provider) error {
	role, name := "terraform-inline", aws.String("push")
	read := func() (string, error) {
		got, err := p.iam.GetRolePolicy(p.ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: name})
		if err != nil {
			return "", err
		}
		return decoded(*got.PolicyDocument)
	}
	put := func(document string) func() error {
		return func() error {
			if _, err := p.iam.PutRolePolicy(p.ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: name, PolicyDocument: &document}); err != nil {
				return err
			}
			got, err := clean(read)
			if err != nil {
				return err
			}
			return sameDocument("policy", got, document)
		}
	}
	return withProvider(p, func() error {
		return steps(
			step{"its role", func() error { return p.createRole(role) }},
			step{"create and read", put(written)},
			step{"change and read", put(encoded)},
			step{"destroy", func() error {
				_, err := p.iam.DeleteRolePolicy(p.ctx, &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: name})
				return err
			}},
			step{"destroyed", func() error { _, err := read(); return refused[*types.NoSuchEntityException]("read", err) }},
			step{"destroy its role", func() error { return p.destroyRole(role) }},
		)
	})
}

func attachment(p *provider) error {
	role := "terraform-attached"
	all := []string{
		"arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser",
		"arn:aws:iam::aws:policy/AmazonECS_FullAccess",
	}
	return withProvider(p, func() error {
		if err := p.createRole(role); err != nil {
			return err
		}
		for _, arn := range all {
			// Twice is no error: the provider does it again when it isn't sure.
			for range 2 {
				if _, err := p.iam.AttachRolePolicy(p.ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &arn}); err != nil {
					return err
				}
			}
		}
		got, err := clean(func() (roleState, error) { return p.readRole(&role) })
		if err != nil {
			return err
		}
		if err := same("attachments", got.Attached, all); err != nil {
			return err
		}
		for _, arn := range all {
			if _, err := p.iam.DetachRolePolicy(p.ctx, &iam.DetachRolePolicyInput{RoleName: &role, PolicyArn: &arn}); err != nil {
				return err
			}
			_, err := p.iam.DetachRolePolicy(p.ctx, &iam.DetachRolePolicyInput{RoleName: &role, PolicyArn: &arn})
			if err := refused[*types.NoSuchEntityException]("detach again", err); err != nil {
				return err
			}
		}
		return p.destroyRole(role)
	})
}
