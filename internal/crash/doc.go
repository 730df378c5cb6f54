// Package crash names the points at which tests end the program as a power cut
// would. In an ordinary build At does nothing; with the build tag crashpoints
// it obeys the environment: CRASHPOINT=after-commit:17 kills the process
// the 17th time that it passes that point.
package crash

// The points, in the order of a message's way.
const (
	BeforeBody   = "before-body"   // the file of a large body is about to be made
	AfterBody    = "after-body"    // it is durable under its name, and no commit names it
	BeforeCommit = "before-commit" // a commit was filled, and nothing of it written
	AfterCommit  = "after-commit"  // it is durable, and nobody was told
	BeforeReply  = "before-reply"  // a message is durable, and was not answered with 250
	BeforeDot    = "before-dot"    // the upstream has all of a copy but its end
	AfterDot     = "after-dot"     // it has all of it, and did not answer
	BeforeRecord = "before-record" // it answered, and that is not on record

	BeforeExpiry  = "before-expiry"  // what retention deletes is about to be deleted
	AfterExpiry   = "after-expiry"   // it is, but for its files
	BeforeReplace = "before-replace" // a compacted store is about to take its place
	AfterReplace  = "after-replace"  // it has, and its directory was not synced
	BeforeMigrate = "before-migrate" // a step of a migration was made, and not committed
	AfterMigrate  = "after-migrate"  // it is durable
)
