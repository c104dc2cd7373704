package gateway

import (
	"strconv"

	"github.com/tidwall/gjson"

	"aigateway/openai"
)

// lendSearchKey puts the search application's key into an on-your-data
// request, where the client wrote that application's id in its place. The
// result goes to the endpoint and nowhere else.
func (app *App) lendSearchKey(req *openai.Request) error {
	if !req.HasDataSources || app.SearchAIApp == "" {
		return nil
	}
	var places []int
	at := 0
	req.Get("data_sources").ForEach(func(_, source gjson.Result) bool {
		if key := source.Get("parameters.authentication.key"); key.Type == gjson.String && key.Str == app.SearchAIApp {
			places = append(places, at)
		}
		at++
		return true
	})
	for _, i := range places {
		if err := req.Set("data_sources."+strconv.Itoa(i)+".parameters.authentication.key", app.searchKey); err != nil {
			return err
		}
	}
	return nil
}
