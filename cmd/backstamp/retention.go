package main

import (
	"context"
	"time"

	"backstamp/store"
)

// retainEvery is how often what is too old is looked for.
const retainEvery = time.Hour

// retain deletes what is older than the configuration in force keeps. Trouble
// is logged and tried again: nothing depends on it.
func (s *server) retain(ctx context.Context) error {
	for {
		keep := s.current().conf.Retention
		gone, err := s.store.Expire(ctx, s.clock.Now(), store.Retention{
			Content: time.Duration(keep.Content), Events: time.Duration(keep.Events),
		})
		if err != nil && ctx.Err() == nil {
			s.log.Error("retention", "err", err)
		}
		if gone != (store.Expired{}) {
			s.log.Info("retention deleted what was too old", "contents", gone.Contents, "events", gone.Events)
		}
		timer := s.clock.NewTimer(retainEvery)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}
