package main

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func (p *provider) createCluster(name string) (*string, error) {
	made, err := p.ecs.CreateCluster(p.ctx, &ecs.CreateClusterInput{
		ClusterName: &name,
		Settings:    []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: aws.String("enabled")}},
		Tags:        []types.Tag{{Key: aws.String("team"), Value: aws.String("web")}},
	})
	if err != nil {
		return nil, err
	}
	arn := made.Cluster.ClusterArn
	return arn, settle("cluster", func() (bool, error) {
		got, err := p.describeCluster(arn)
		return err == nil && aws.ToString(got.Status) == "ACTIVE", err
	})
}

func (p *provider) describeCluster(arn *string) (types.Cluster, error) {
	include := []types.ClusterField{types.ClusterFieldTags, types.ClusterFieldConfigurations, types.ClusterFieldSettings}
	got, err := p.ecs.DescribeClusters(p.ctx, &ecs.DescribeClustersInput{Clusters: []string{*arn}, Include: include})
	if err != nil {
		return types.Cluster{}, err
	}
	if len(got.Clusters) != 1 {
		return types.Cluster{}, fmt.Errorf("%d clusters, and failures %s", len(got.Clusters), shown(got.Failures))
	}
	return got.Clusters[0], nil
}

func (p *provider) destroyCluster(arn *string) error {
	if _, err := p.ecs.DeleteCluster(p.ctx, &ecs.DeleteClusterInput{Cluster: arn}); err != nil {
		return err
	}
	return settle("the cluster's end", func() (bool, error) {
		got, err := p.describeCluster(arn)
		return err == nil && aws.ToString(got.Status) == "INACTIVE", err
	})
}

func cluster(p *provider) error {
	var arn *string
	expect := func(insights string) func() error {
		return func() error {
			got, err := clean(func() (types.Cluster, error) { return p.describeCluster(arn) })
			if err != nil {
				return err
			}
			if err := same("settings", got.Settings, []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: &insights}}); err != nil {
				return err
			}
			return same("tags", len(got.Tags), 1)
		}
	}
	return steps(
		step{"create", func() (err error) { arn, err = p.createCluster("terraform"); return }},
		step{"read", expect("enabled")},
		step{"change", func() error {
			_, err := p.ecs.UpdateCluster(p.ctx, &ecs.UpdateClusterInput{Cluster: arn, Settings: []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: aws.String("disabled")}}})
			return err
		}},
		step{"read the change", expect("disabled")},
		step{"destroy", func() error { return p.destroyCluster(arn) }},
	)
}

func (p *provider) register(family, image string) (*string, error) {
	made, err := p.ecs.RegisterTaskDefinition(p.ctx, &ecs.RegisterTaskDefinitionInput{
		Family:                  &family,
		Cpu:                     aws.String("256"),
		Memory:                  aws.String("512"),
		NetworkMode:             types.NetworkModeBridge,
		ContainerDefinitions:    []types.ContainerDefinition{containerOf(image)},
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityEc2},
		Tags:                    []types.Tag{{Key: aws.String("team"), Value: aws.String("web")}},
	})
	if err != nil {
		return nil, err
	}
	return made.TaskDefinition.TaskDefinitionArn, nil
}

func containerOf(image string) types.ContainerDefinition {
	return types.ContainerDefinition{
		Name:         aws.String("web"),
		Image:        &image,
		Essential:    aws.Bool(true),
		Environment:  []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("1")}, {Name: aws.String("B"), Value: aws.String("2")}},
		PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080), Protocol: types.TransportProtocolTcp}},
	}
}

func (p *provider) describeDefinition(arn *string) (*ecs.DescribeTaskDefinitionOutput, error) {
	got, err := p.ecs.DescribeTaskDefinition(p.ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: arn, Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags}})
	if err != nil {
		return nil, err
	}
	// What differs from call to call is no part of a state.
	got.ResultMetadata = ecs.DescribeTaskDefinitionOutput{}.ResultMetadata
	return got, nil
}

func (p *provider) deregister(arn *string) error {
	if _, err := p.ecs.DeregisterTaskDefinition(p.ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: arn}); err != nil {
		return err
	}
	got, err := p.describeDefinition(arn)
	if err != nil {
		return err
	}
	return same("status", got.TaskDefinition.Status, types.TaskDefinitionStatusInactive)
}

func taskDefinition(p *provider) error {
	var arn *string
	return steps(
		step{"create", func() (err error) { arn, err = p.register("terraform", "nginx:1.27"); return }},
		step{"read", func() error {
			got, err := clean(func() (*ecs.DescribeTaskDefinitionOutput, error) { return p.describeDefinition(arn) })
			if err != nil {
				return err
			}
			container, wanted := got.TaskDefinition.ContainerDefinitions[0], containerOf("nginx:1.27")
			if err := same("environment", container.Environment, wanted.Environment); err != nil {
				return err
			}
			return same("status and tags", []any{got.TaskDefinition.Status, len(got.Tags)}, []any{types.TaskDefinitionStatusActive, 1})
		}},
		step{"change its tags", func() error {
			if _, err := p.ecs.UntagResource(p.ctx, &ecs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team"}}); err != nil {
				return err
			}
			got, err := p.describeDefinition(arn)
			if err != nil {
				return err
			}
			return same("tags", len(got.Tags), 0)
		}},
		step{"replace", func() error {
			next, err := p.register("terraform", "nginx:1.28")
			if err != nil {
				return err
			}
			old := arn
			arn = next
			return p.deregister(old)
		}},
		step{"destroy", func() error { return p.deregister(arn) }},
	)
}

func service(p *provider) error {
	var cluster, definition, arn *string
	describe := func() (types.Service, error) {
		got, err := p.ecs.DescribeServices(p.ctx, &ecs.DescribeServicesInput{Cluster: cluster, Services: []string{*arn}, Include: []types.ServiceField{types.ServiceFieldTags}})
		if err != nil {
			return types.Service{}, err
		}
		if len(got.Services) != 1 {
			return types.Service{}, fmt.Errorf("%d services, and failures %s", len(got.Services), shown(got.Failures))
		}
		return got.Services[0], nil
	}
	steady := func() error {
		return settle("a steady state", func() (bool, error) {
			got, err := describe()
			return err == nil && len(got.Deployments) == 1 && got.RunningCount == got.DesiredCount, err
		})
	}
	type state struct {
		Name, Definition, Status string
		Desired                  int32
		Breaker                  bool
	}
	read := func() (state, error) {
		got, err := describe()
		if err != nil {
			return state{}, err
		}
		return state{*got.ServiceName, *got.TaskDefinition, *got.Status, got.DesiredCount, got.DeploymentConfiguration.DeploymentCircuitBreaker.Enable}, nil
	}
	expect := func(desired int32) func() error {
		return func() error {
			got, err := clean(read)
			if err != nil {
				return err
			}
			return same("service", got, state{"web", *definition, "ACTIVE", desired, true})
		}
	}
	return steps(
		step{"its cluster", func() (err error) { cluster, err = p.createCluster("terraform-service"); return }},
		step{"its task definition", func() (err error) { definition, err = p.register("terraform-service", "nginx:1.27"); return }},
		step{"create", func() error {
			made, err := p.ecs.CreateService(p.ctx, &ecs.CreateServiceInput{
				Cluster:        cluster,
				ServiceName:    aws.String("web"),
				TaskDefinition: definition,
				DesiredCount:   aws.Int32(1),
				LaunchType:     types.LaunchTypeEc2,
				DeploymentConfiguration: &types.DeploymentConfiguration{
					MaximumPercent: aws.Int32(200), MinimumHealthyPercent: aws.Int32(100),
					DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true},
				},
				Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("web")}},
			})
			if err == nil {
				arn = made.Service.ServiceArn
			}
			return err
		}},
		step{"wait_for_steady_state", steady},
		step{"read", expect(1)},
		step{"a cluster with services stays", func() error {
			_, err := p.ecs.DeleteCluster(p.ctx, &ecs.DeleteClusterInput{Cluster: cluster})
			return refused[*types.ClusterContainsServicesException]("delete", err)
		}},
		step{"change", func() error {
			next, err := p.register("terraform-service", "nginx:1.28")
			if err != nil {
				return err
			}
			definition = next
			_, err = p.ecs.UpdateService(p.ctx, &ecs.UpdateServiceInput{Cluster: cluster, Service: arn, TaskDefinition: definition, DesiredCount: aws.Int32(2), ForceNewDeployment: false})
			return err
		}},
		step{"wait_for_steady_state again", steady},
		step{"read the change", expect(2)},
		step{"destroy", func() error {
			if _, err := p.ecs.UpdateService(p.ctx, &ecs.UpdateServiceInput{Cluster: cluster, Service: arn, DesiredCount: aws.Int32(0)}); err != nil {
				return err
			}
			if _, err := p.ecs.DeleteService(p.ctx, &ecs.DeleteServiceInput{Cluster: cluster, Service: arn, Force: aws.Bool(false)}); err != nil {
				return err
			}
			quick := func(o *ecs.ServicesInactiveWaiterOptions) { o.MinDelay, o.MaxDelay = lookEvery, time.Second }
			waiter := ecs.NewServicesInactiveWaiter(p.ecs, quick)
			return waiter.Wait(p.ctx, &ecs.DescribeServicesInput{Cluster: cluster, Services: []string{*arn}}, settleMax)
		}},
		step{"destroy its cluster", func() error { return p.destroyCluster(cluster) }},
	)
}
