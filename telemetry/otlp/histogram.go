package otlp

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// instrument is a histogram's name and form.
type instrument struct {
	name, unit, description string
	bounds                  []float64
}

// sum is what was measured under one set of attributes.
type sum struct {
	attributes  attribute.Set
	counts      []uint64 // one more than there are bounds; nil before the first measurement
	count       uint64
	total       float64
	least, most float64
}

// add counts a value that was measured some times.
func (s *sum) add(bounds []float64, value float64, times uint64) {
	if s.counts == nil {
		s.counts = make([]uint64, len(bounds)+1)
		s.least, s.most = value, value
	}
	i := 0
	for i < len(bounds) && value > bounds[i] { // a bound is in the bucket below it
		i++
	}
	s.counts[i] += times
	s.count += times
	s.total += value * float64(times)
	s.least, s.most = min(s.least, value), max(s.most, value)
}

// metric returns what an instrument has measured, nil when it is nothing.
func (in *instrument) metric(sums []*sum, since, until time.Time, temporality metricdata.Temporality) (m metricdata.Metrics, some bool) {
	var points []metricdata.HistogramDataPoint[float64]
	for _, s := range sums {
		if s.counts == nil {
			continue
		}
		points = append(points, metricdata.HistogramDataPoint[float64]{
			Attributes: s.attributes, StartTime: since, Time: until,
			Count: s.count, Sum: s.total, Bounds: in.bounds, BucketCounts: slices.Clone(s.counts),
			Min: metricdata.NewExtrema(s.least), Max: metricdata.NewExtrema(s.most),
		})
	}
	return metricdata.Metrics{
		Name: in.name, Unit: in.unit, Description: in.description,
		Data: metricdata.Histogram[float64]{DataPoints: points, Temporality: temporality},
	}, len(points) > 0
}
