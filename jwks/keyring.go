package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxWait = 3 * time.Second // of a caller, for a fetch
	noKeys  = 2 * time.Second // between fetches while there is no key at all
	quiet   = time.Minute     // between log lines about fetches that fail
)

// keyring keeps the project's key set fresh: one fetch at a time, whoever
// wants it, in the background on a schedule and at once for an unknown key
// unless one has just begun. The last good key set stays whatever a fetch
// brings. Reading the current set takes no lock.
type keyring struct {
	source   source
	interval time.Duration
	cooldown time.Duration
	log      *slog.Logger
	loaded   func() // called after each successful fetch
	onFetch  func(Fetch)

	set atomic.Pointer[keySet]

	closing chan struct{}
	running sync.WaitGroup
	ended   chan struct{} // a fetch has ended, so that due has changed

	mu       sync.Mutex
	closed   bool
	fetching *fetch // nil for none
	started  time.Time
	due      time.Time // of the next background fetch
	failures int       // in a row
	skipped  int       // unusable keys in the last good set
	logged   time.Time // the last line about a failure
	told     bool      // there is one about the failures in a row
}

// fetch is one fetch. It belongs to nobody: those who wait may leave.
type fetch struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

func newKeyring(cfg Config, base string, loaded func()) *keyring {
	k := &keyring{
		source:   newSource(cfg, base),
		interval: cfg.RefreshInterval,
		cooldown: cfg.Cooldown,
		log:      cfg.Logger,
		loaded:   loaded,
		onFetch:  cfg.OnFetch,
		closing:  make(chan struct{}),
		ended:    make(chan struct{}, 1),
	}
	k.running.Go(k.run)
	return k
}

// current returns the last good key set, or nil.
func (k *keyring) current() *keySet { return k.set.Load() }

// run fetches the key set at once and then whenever it is due.
func (k *keyring) run() {
	for {
		// At the start a request may have been here first.
		for wait := k.untilDue(); wait > 0; wait = k.untilDue() {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-k.ended: // one for an unknown key; due has changed
			case <-k.closing:
				t.Stop()
				return
			}
			t.Stop()
		}
		k.mu.Lock()
		f := k.joinLocked()
		k.mu.Unlock()
		if f == nil {
			return
		}
		<-f.done // cancelled by close
	}
}

func (k *keyring) untilDue() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Until(k.due)
}

// await returns the key of that name, for a caller that did not find it in
// seen: it waits for a fetch that runs, or starts one if the last one started
// long enough ago.
func (k *keyring) await(ctx context.Context, kid string, seen *keySet) (*keySet, *key, error) {
	k.mu.Lock()
	var f *fetch
	// A set other than seen came from a fetch that ended while the caller was
	// on its way here; that is as good as having joined it.
	if k.set.Load() == seen {
		if k.closed || k.fetching == nil && k.restLocked() > 0 {
			defer k.mu.Unlock()
			return nil, nil, k.unavailableLocked(nil)
		}
		f = k.joinLocked()
	}
	k.mu.Unlock()
	if f != nil {
		if err := k.wait(ctx, f); err != nil {
			return nil, nil, err
		}
	}
	set, now := k.set.Load(), time.Now().UnixNano()
	if key := set.byKID(kid, now); key != nil {
		return set, key, nil
	}
	return nil, nil, ErrKeyUnknown
}

// wait waits for f, but not for ever.
func (k *keyring) wait(ctx context.Context, f *fetch) error {
	var cause error
	t := time.NewTimer(maxWait)
	defer t.Stop()
	select {
	case <-f.done:
		if f.err == nil {
			return nil
		}
	case <-ctx.Done():
		cause = ctx.Err()
	case <-t.C:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unavailableLocked(cause)
}

// joinLocked returns the running fetch, or starts one; nil after close.
func (k *keyring) joinLocked() *fetch {
	if k.closed {
		return nil
	}
	if k.fetching == nil {
		ctx, cancel := context.WithCancel(context.Background())
		k.fetching = &fetch{cancel: cancel, done: make(chan struct{})}
		k.started = time.Now()
		f := k.fetching
		k.running.Go(func() { k.fetch(ctx, f) })
	}
	return k.fetching
}

// restLocked is how long until a fetch may start for an unknown key.
func (k *keyring) restLocked() time.Duration {
	if k.started.IsZero() {
		return 0
	}
	pause := k.cooldown
	if !k.set.Load().usable(time.Now().UnixNano()) {
		pause = min(pause, noKeys)
	}
	return pause - time.Since(k.started)
}

func (k *keyring) unavailableLocked(cause error) error {
	seconds := (k.restLocked() + time.Second - 1) / time.Second
	return &UnavailableError{RetryAfter: max(1, seconds) * time.Second, cause: cause}
}

var errAborted = errors.New("fetch was aborted")

// fetch runs f to its end, whatever the caller's transport and logger do.
func (k *keyring) fetch(ctx context.Context, f *fetch) {
	skipped, err := 0, errAborted
	defer func() { k.end(f, skipped, err) }() // also if the transport ends the goroutine
	skipped, err = k.load(ctx)
}

// load fetches a key set and makes it the current one.
func (k *keyring) load(ctx context.Context) (skipped int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic of type %T", p) // its text may hold anything
		}
	}()
	began := time.Now()
	body, err := k.source.get(ctx)
	if err != nil {
		return 0, err
	}
	usable, skipped, err := readKeySet(body)
	if err != nil {
		return skipped, err
	}
	set, err := newKeySet(usable, k.set.Load(), began)
	if err != nil {
		return skipped, err
	}
	k.set.Store(set)
	k.loaded()
	return skipped, nil
}

// end lets go of those who wait for f and says when the next fetch is due.
func (k *keyring) end(f *fetch, skipped int, err error) {
	f.cancel()
	k.mu.Lock()
	var line func()
	now := time.Now()
	wait := k.interval
	if err == nil {
		switch {
		case k.told:
			failures := k.failures
			line = func() { k.log.Info("jwks: key set fetched again", "failures", failures) }
		case skipped != k.skipped:
			line = func() { k.log.Warn("jwks: key set has keys that are not used", "skipped", skipped) }
		}
		k.failures, k.skipped, k.told = 0, skipped, false
	} else {
		if !k.closed && (k.logged.IsZero() || now.Sub(k.logged) >= quiet) {
			k.logged, k.told = now, true
			text := plain(err.Error())
			line = func() { k.log.Warn("jwks: cannot fetch the key set", "error", text) }
		}
		wait = backoff(k.cooldown, k.interval, k.failures)
		k.failures++
	}
	wait += time.Duration((rand.Float64() - 0.5) / 5 * float64(wait)) // ± 10 %
	if !k.set.Load().usable(now.UnixNano()) {
		wait = noKeys
	}
	k.due = k.started.Add(wait)
	k.fetching = nil
	f.err = err
	began := k.started
	close(f.done)
	k.mu.Unlock()
	select {
	case k.ended <- struct{}{}:
	default:
	}
	spared := func(f func()) {
		defer func() { _ = recover() }() // a logger or hook that panics spoils nothing
		f()
	}
	if line != nil {
		spared(line)
	}
	if k.onFetch != nil {
		spared(func() {
			k.onFetch(Fetch{Began: began, Took: now.Sub(began), Err: err, Keys: k.stats().Keys, Skipped: skipped})
		})
	}
}

// plain cuts foreign text and makes it printable ASCII that no log quotes twice.
func plain(s string) string {
	b := []byte(s[:min(len(s), 200)])
	for i, c := range b {
		switch {
		case c == '"':
			b[i] = '\''
		case c < ' ', c > '~', c == '\\':
			b[i] = '?'
		}
	}
	return string(b)
}

// backoff is cooldown doubled for each failure before, at most interval.
func backoff(cooldown, interval time.Duration, before int) time.Duration {
	for ; before > 0 && cooldown < interval; before-- {
		cooldown *= 2
	}
	return min(cooldown, interval)
}

func (k *keyring) stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Stats{Failures: k.failures}
	if set := k.set.Load(); set != nil {
		s.FetchedAt = set.fetched
		if set.usable(time.Now().UnixNano()) {
			s.Keys = len(set.keys)
		}
	}
	return s
}

// close ends a running fetch and the background refresh, and waits for both.
func (k *keyring) close() {
	k.mu.Lock()
	if !k.closed {
		k.closed = true
		close(k.closing)
		if k.fetching != nil {
			k.fetching.cancel()
		}
	}
	k.mu.Unlock()
	k.running.Wait()
	k.source.close()
}
