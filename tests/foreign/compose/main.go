// Loads a compose file with the reference implementation, which checks it against the compose schema and resolves
// every reference, and prints what the test wants to know of it as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

type service struct {
	Image       string            `json:"image"`
	Command     []string          `json:"command"`
	Secrets     map[string]string `json:"secrets"`
	Configs     []string          `json:"configs"`
	Environment map[string]string `json:"environment"`
	Networks    []string          `json:"networks"`
	Mounts      []string          `json:"mounts"`
	Published   []string          `json:"published"`
	Healthcheck bool              `json:"healthcheck"`
	Privileged  bool              `json:"privileged"`
	ReadOnly    bool              `json:"read_only"`
	CapDrop     []string          `json:"cap_drop"`
}

type answer struct {
	Services map[string]service `json:"services"`
	Secrets  map[string]string  `json:"secrets"`
	Internal []string           `json:"internal"`
}

func describe(from types.ServiceConfig) service {
	to := service{
		Image: from.Image, Command: from.Command, Secrets: map[string]string{}, Environment: map[string]string{},
		Healthcheck: from.HealthCheck != nil, Privileged: from.Privileged, ReadOnly: from.ReadOnly, CapDrop: from.CapDrop,
	}
	for _, secret := range from.Secrets {
		to.Secrets[secret.Source] = secret.Target
	}
	for _, config := range from.Configs {
		to.Configs = append(to.Configs, config.Source)
	}
	for name, value := range from.Environment {
		if value != nil {
			to.Environment[name] = *value
		}
	}
	for name := range from.Networks {
		to.Networks = append(to.Networks, name)
	}
	for _, volume := range from.Volumes {
		to.Mounts = append(to.Mounts, volume.Source)
	}
	for _, port := range from.Ports {
		to.Published = append(to.Published, port.Published)
	}
	return to
}

func main() {
	options, err := cli.NewProjectOptions([]string{os.Args[1]}, cli.WithInterpolation(true))
	if err != nil {
		fail(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		fail(err)
	}
	out := answer{Services: map[string]service{}, Secrets: map[string]string{}}
	for name, from := range project.Services {
		out.Services[name] = describe(from)
	}
	for name, secret := range project.Secrets {
		out.Secrets[name] = secret.File
	}
	for name, network := range project.Networks {
		if network.Internal {
			out.Internal = append(out.Internal, name)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
