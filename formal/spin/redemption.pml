/*
 * A login's challenge is redeemed once, an invite is used once, and the second only together with the first.
 * docs/AUTHENTICATION_PROTOCOL.md §2, §4, §7; Sources/Backbone: LoginRule, Registry.logIn,
 * SQLiteStore.redeem.
 *
 * VERIFIERS logins run side by side, in whatever order their steps fall. Each has a challenge, a key, perhaps
 * an invite, and a signature that holds or doesn't. Challenges are stateless, so two keys may answer the same
 * one. A verifier may die between any two steps, and the store may refuse any transaction. Rows of redeemed
 * challenges are deleted some time after the challenge has expired.
 *
 * Variants, each of which must fail:
 *   BROKEN            looks whether the challenge was redeemed, and notes that it is in a second step (GET,
 *                     then DEL)
 *   SEPARATE          redeems the challenge and uses the invite in two transactions
 *   PRUNED_AT_EXPIRY  deletes the row at the challenge's expiry, though a login that was examined before it
 *                     may still be waiting for its signature check
 */

#define VERIFIERS 3
#define CHALLENGES 2
#define KEYS 2

/* The store. One invite is enough: nothing in the rules connects two. */
bool redeemed[CHALLENGES];
bool inviteUsed;
bool admitted[KEYS];
bool locked;                /* BEGIN IMMEDIATE: one writer at a time */

bool expired;               /* the challenges' time is over */
byte underway;              /* logins that were examined before that and are not done */

/* What was answered, for the properties only. */
byte granted[CHALLENGES];
byte grantedByInvite;
bool lost;                  /* a verifier died after its transaction: what it did is answered to nobody */

/* Deaths and refusals of the store, so many in all. */
byte faults = 1;

#define fault faults > 0 -> faults--

/* What a login brings, in bits: challenge, key, whether the signature holds, whether there is an invite. */
proctype Verifier(byte request) {
  bool needsInvite, isNew, isOurs;
#define challenge (request & 1)
#define key       ((request >> 1) & 1)
#define holds     ((request >> 2) & 1)
#define hasInvite ((request >> 3) & 1)

  /* examine: MAC and age, before the signature. Then the login waits for the bounded pool. */
  atomic {
    if
    :: expired -> goto done
    :: else -> underway++
    fi
  }
  if :: holds :: !holds -> goto finished fi;

  needsInvite = !admitted[key];         /* a read of its own, outside the transaction */
  if :: needsInvite && !hasInvite -> goto finished :: else fi;

  atomic { !locked -> locked = true }
#ifdef BROKEN
  isNew = !redeemed[challenge];
  locked = false;                       /* what GET saw is old by the time of DEL */
  atomic { !locked -> locked = true };
  redeemed[challenge] = true;
#else
  d_step { isNew = !redeemed[challenge]; redeemed[challenge] = true }  /* INSERT … ON CONFLICT DO NOTHING */
#endif
  if
  :: !isNew -> locked = false; goto finished
  :: isNew && !needsInvite
  :: isNew && needsInvite ->
#ifdef SEPARATE
     locked = false;
     atomic { !locked -> locked = true };
#endif
     d_step { isOurs = !inviteUsed; inviteUsed = true }        /* UPDATE … WHERE used_by IS NULL */
     if
     :: isOurs -> admitted[key] = true
     :: !isOurs -> goto undone
     fi
  fi;
  if
  :: true
  :: fault -> goto undone               /* disk full, or the program dies before the commit */
  fi;
  d_step { locked = false }             /* COMMIT */
  if
  :: fault -> lost = true; goto finished
  :: true ->
     d_step {
       granted[challenge]++;
       if :: needsInvite -> grantedByInvite++ :: else fi;
       assert(granted[challenge] <= 1);
       assert(grantedByInvite <= 1);
       assert(!needsInvite || admitted[key])
     };
     goto finished
  fi;

undone:
  skip;
  d_step {                              /* ROLLBACK: nothing of the transaction stands */
#ifndef SEPARATE
    redeemed[challenge] = false;
#endif
    if :: isOurs -> inviteUsed = false; admitted[key] = false :: else fi;
    locked = false
  };

finished:
  skip;
  d_step {                              /* what is left in variables would tell equal states apart */
    underway--;
    request = 0; needsInvite = false; isNew = false; isOurs = false
  };
done:
  request = 0
}

proctype Clock() {
  expired = true;
  /* A row goes when no login that was examined in time can still be under way: its expiry and a margin. */
  do
#ifdef PRUNED_AT_EXPIRY
  :: atomic { !locked && redeemed[0] -> redeemed[0] = false }
#else
  :: atomic { !locked && redeemed[0] && underway == 0 -> redeemed[0] = false }
#endif
  :: break
  od
}

init {
  byte request, i;
  atomic {
    run Clock();
    /* Every mix of requests once: who of equal ones is called first makes no difference. */
    request = 0;
    for (i : 1 .. VERIFIERS) {
      do
      :: request < 15 -> request++
      :: break
      od;
      run Verifier(request)
    }
  };
  _nr_pr == 1;
  /* A login that fails uses nothing up; an invite goes only with a challenge, and admits only with it. */
#ifndef BROKEN
  assert(lost || expired || (redeemed[0] == (granted[0] == 1)));
  assert(lost || (redeemed[1] == (granted[1] == 1)));
  assert(lost || (inviteUsed == (grantedByInvite == 1)));
  assert((admitted[0] + admitted[1]) == inviteUsed)
#endif
}
