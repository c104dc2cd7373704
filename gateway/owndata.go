package gateway

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/tidwall/gjson"

	"aigateway/backend"
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

// takeBackSearchKey puts the search application's id back where an endpoint
// quotes the lent key in its error.
func (app *App) takeBackSearchKey(err error) {
	var failed *backend.Error
	if app.searchKey != "" && errors.As(err, &failed) && bytes.Contains(failed.Body, []byte(app.searchKey)) {
		failed.Body = bytes.ReplaceAll(failed.Body, []byte(app.searchKey), []byte(app.SearchAIApp))
	}
}
