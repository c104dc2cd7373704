package main

import (
	"reflect"
	"slices"
	"testing"

	"aigateway/config"
)

func TestEveryLimitHasEveryAmount(t *testing.T) {
	k := keeping{accounts: true, limited: true}
	text, err := k.configuration("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	all := []config.Amounts{cfg.Applications[0].Endpoints[0].Limits}
	var per []string
	for _, l := range cfg.Limits {
		all, per = append(all, l.Allow), append(per, l.Per...)
	}
	for i, amounts := range all {
		for field, value := range reflect.ValueOf(amounts).Fields() {
			if value.IsZero() {
				t.Errorf("limit %d has no %s", i, field.Name)
			}
		}
	}
	slices.Sort(per)
	if want := []string{"app", "caller", "model", "tenant", "user"}; !slices.Equal(per, want) {
		t.Errorf("limits per %q, want %q", per, want)
	}
}
