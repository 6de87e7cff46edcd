/*
 * Two nodes: simultaneous open, rekey, and roaming with a path challenge, over a network that loses, copies
 * and reorders. docs/protocol/SMH1.md §7, §8, §9, §11; docs/formal.md says the rule for roaming in full.
 *
 * A moves: its address changes and may change back, and it doesn't notice. B stays where it is. Session 0 is
 * the one that A begins, session 1 the one that B begins; either may have the lower hash of its M1.
 * Cryptography is perfect: a packet opens for whoever holds its keys, and nothing can be forged. An attacker
 * sees A's packets and sends copies of them from a place of its own, EVIL; with RELAYS it hands on the
 * challenges that it gets for that, so that they are answered from there. It drops whatever else B sends to
 * it.
 *
 * First comes a storm: every order of deliveries, FAULTS datagrams lost, copied or sent again from elsewhere,
 * MOVES moves, TICKS rounds of each node's timers, handshakes and rekeys begun whenever that is allowed. Then
 * it is calm, and each node's timers run CALM times more. After the last nothing can happen any more (every
 * run ends: no step gives back what it used up), and there the two must agree. So liveness needs no fairness
 * here, and the number of rounds that agreement takes is part of what is checked.
 *
 * Time: timers fire when the network is empty, so a datagram doesn't outlive one; copies stand for those that
 * do. Old keys and superseded sessions end at any moment at all after the one that allows it, which covers
 * their 10 s.
 *
 * Asserted: nothing is accepted twice; no key and counter are used twice; a path is switched to only when the
 * peer has answered, from there, the challenge that is out; an address that isn't validated gets at most
 * three datagrams for each that came from it; and at the end both send in one session, under the same keys,
 * to where the other is.
 *
 * Rules that this model showed to be needed, and the variant that fails without each:
 *   OWN_SESSION       each side keeps the session that it began itself. (The negative control for opening.)
 *   EARLY_PATH        the path is switched before the challenge is answered. (That for roaming.)
 *   UNCONFIRMED       the lower session is sent in as soon as its initiator has it, though its M3 may never
 *                     arrive. The rule: one that isn't confirmed takes no other's place.
 *   M3_BOUND          an M3 that comes again is answered only at the address of the first. The rule: M4
 *                     goes to where this M3 came from; the path stays.
 *   OLD_KEYS_END      who asked for a rekey lets the old keys go though nothing has come under the new
 *                     ones. The rule: the old ones end some time after the first packet under the new ones
 *                     has opened.
 *   OWN_CLOCKS        each side decides by its own clock whether two sessions were begun at once; one says
 *                     yes, the other no and takes the newer. The rule must be one that both answer alike.
 *
 * `spin -t` prints the story of a failure.
 */

#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef MOVES
#define MOVES 1
#endif
#ifndef TICKS
#define TICKS 1
#endif
#ifndef RELAYS
#define RELAYS 0            /* 1: EVIL hands challenges on to A, and A's answers back, until it is calm */
#endif
#ifndef CALM
#define CALM 2
#endif
#ifndef GENERATIONS
#define GENERATIONS 2       /* of keys, the handshake's counted: one rekey */
#endif

#define A 0
#define B 1
#define NONE 2              /* no session */
#define other(x) (1 - (x))

/* Places. */
#define HOME 0              /* where A is at first, and what B knows to dial */
#define AWAY 1
#define EVIL 2
#define NOWHERE 3

/* Datagrams. Handshake messages are one each: their fragments change nothing here. */
#define M1    1
#define M2    2
#define M3    3
#define EMPTY 4             /* transport from here on: M4, keepalive, data */
#define REQ   5
#define ANS   6
#define CHAL  7
#define RESP  8

/*
 * One number each: sender, kind, session, generation and maker of the keys (who asked for them), counter,
 * what the kind needs (generation asked for, token, or the half-open an M2 or M3 belongs to), and A's end of
 * the way: the source of A's datagrams, the destination of B's. The sender first, so that A's stand before
 * B's when in order.
 */
#define pack(k, from, s, g, y, c, t, a) \
  (((from) << 18) | ((k) << 14) | ((s) << 13) | ((g) << 11) | ((y) << 10) | ((c) << 5) | ((t) << 2) | (a))
#define from(m)    ((m) >> 18)
#define kind(m)    (((m) >> 14) & 15)
#define session(m) (((m) >> 13) & 1)
#define gen(m)     (((m) >> 11) & 3)
#define maker(m)   (((m) >> 10) & 1)
#define counter(m) (((m) >> 5) & 31)
#define extra(m)   (((m) >> 2) & 7)
#define place(m)   ((m) & 3)
#define isTransport(m) (kind(m) >= EMPTY)
#define TOKENS 8

/* The network: datagrams under way, in order, so that the same ones are the same state. */
#define ROOM 8
int net[ROOM];
byte inNet, fromA;          /* all of them; A's, which come first */

bit low;                    /* the session whose M1 has the lower hash */
byte faults = FAULTS, moves = MOVES;
bool calm;
byte ticks[2];

/* Handshakes. */
byte mine[2];               /* our own: 0 not begun, 1 M1 sent, 2 M3 sent, 3 confirmed, 4 given up */
byte theirs[2];             /* the peer's: 0 nothing, 1 M1 came, 2 M3 came */
byte half[2];               /* where the M1 of the peer's came from */
byte heldHalf[2];           /* the same of our own, as M2 said it: an M3 fits one half-open only */

/* Sessions, by node and session, and keys, by node, session and generation. */
#define S(x, y) ((x) * 2 + (y))
#define K(x, y, z) (((x) * 2 + (y)) * GENERATIONS + (z))
byte cur[2] = NONE;         /* the session to send in */
bit gone[4];                /* superseded, and no longer received */
byte sendGen[4], newGen[4], oldGen[4];
bit asking[4];              /* our RekeyRequest is out */
bit by[4 * GENERATIONS];    /* whose request made the keys */
byte count[4 * GENERATIONS];
int seen[4 * GENERATIONS];

/* What happened to the keys, whatever the nodes believe: for the assertions. */
byte used[4 * GENERATIONS];
int taken[4 * GENERATIONS];

/* Roaming. */
byte at = HOME;             /* where A is */
byte path[2] = HOME;        /* where B sends, in each session */
byte cand = NOWHERE;        /* where A may be, in B's eyes */
byte token;                 /* of the challenge to there */
byte came, went;            /* datagrams from there (2 are as good as more) and to there */
byte answered[3];           /* for the assertion: the tokens that A answered from a place, a bit each */

#ifdef OWN_CLOCKS
bit takesNewest[2];
#endif

/* Scratch of the steps below; nothing in it lives from one step to the next. */
hidden byte i, j, g_, s_, ok_;
hidden int m_, x_, rx;

/* A's end of the way for what x sends to y: A is where it is; B has to know. */
#define toward(x, y) ((x) * (y) + (1 - (x)) * at)

inline put(msg) {
  m_ = msg;
  if
  :: from(m_) == B && place(m_) != at && !(RELAYS && place(m_) == EVIL && kind(m_) == CHAL && !calm)
     /* to where nobody is */
  :: else ->
     assert(inNet < ROOM);
     i = inNet;
     do
     :: i > 0 && net[i - 1] > m_ -> net[i] = net[i - 1]; i--
     :: else -> break
     od;
     net[i] = m_;
     inNet++;
     if :: from(m_) == A -> fromA++ :: else fi;
     printf("  %d sends kind %d in session %d, generation %d, counter %d, extra %d, place %d\n",
       from(m_), kind(m_), session(m_), gen(m_), counter(m_), extra(m_), place(m_))
  fi
}

inline take(position) {
  inNet--;
  if :: position < fromA -> fromA-- :: else fi;
  i = position;
  do
  :: i < inNet -> net[i] = net[i + 1]; i++
  :: else -> break
  od;
  net[i] = 0
}

/* Seals a packet under the keys that are sent with. */
inline send(n, s, k, t, a) {
  j = K(n, s, sendGen[S(n, s)]);
  assert(count[j] >= used[j]);              /* never a counter again under the same key */
  assert(count[j] < 31);
  put(pack(k, n, s, sendGen[S(n, s)], by[j], count[j], t, a));
  count[j]++;
  used[j] = count[j]
}

#define has(n, s)       (!gone[S(n, s)] && ((s) == (n) -> mine[n] == 2 || mine[n] == 3 : theirs[n] == 2))
#define confirmed(n, s) (!gone[S(n, s)] && ((s) == (n) -> mine[n] == 3 : theirs[n] == 2))

/*
 * Which session to send in. Of two that are confirmed the lower; one that isn't confirmed only when there is
 * no other. Both ends come to the same: the responder is sure of a session once M3 has come, the initiator
 * once anything has opened in it, and the responder sends in it.
 */
inline prefer(who, latest) {
  s_ = cur[who];
#ifdef OWN_SESSION
  if
  :: has(who, who) -> cur[who] = who
  :: !has(who, who) && has(who, other(who)) -> cur[who] = other(who)
  :: else -> cur[who] = NONE
  fi;
#else
#ifdef UNCONFIRMED
  if
  :: has(who, low) -> cur[who] = low
  :: !has(who, low) && has(who, other(low)) -> cur[who] = other(low)
  :: else -> cur[who] = NONE
  fi;
#else
  if
  :: confirmed(who, low) -> cur[who] = low
  :: !confirmed(who, low) && confirmed(who, other(low)) -> cur[who] = other(low)
  :: !confirmed(who, low) && !confirmed(who, other(low)) && has(who, who) -> cur[who] = who
  :: else -> cur[who] = NONE
  fi;
#ifdef OWN_CLOCKS
  if
  :: takesNewest[who] && latest != NONE -> cur[who] = latest
  :: takesNewest[who] && latest == NONE && s_ != NONE && has(who, s_) -> cur[who] = s_
  :: else
  fi;
#endif
#endif
#endif
  if
  :: cur[who] != s_ ->
     /* What is superseded only receives: its rekey ends, and its path is nobody's concern any more. */
     if :: s_ != NONE -> asking[S(who, s_)] = 0 :: else fi;
     if :: who == B -> forgetCandidate() :: else fi
  :: else
  fi
}

inline forgetCandidate() { cand = NOWHERE; came = 0; went = 0 }

/* B's challenge, three times at most, and never more than three datagrams for one. */
inline challenge() {
  if
  :: cand != NOWHERE && went < 3 * came && went < 3 ->
     went++;
     assert(went <= 3 * came);
     send(B, cur[B], CHAL, token, cand)
  :: else
  fi
}

inline newCandidate(a) {
  cand = a;
  token = (token + 1) % TOKENS;
  for (g_ : 0 .. 2) { answered[g_] = answered[g_] & ~(1 << token) };   /* a real one is never drawn again */
  came = 1;
  went = 0;
  challenge()
}

inline switchPath(s, a) {
  assert((answered[a] >> token) & 1);
  path[s] = a;
  forgetCandidate()
}

/*
 * The newest packet of the session in use came to B from a. Only the newest says where A is; and an answer to
 * a challenge never does, or whoever relays one would be a candidate at both ends.
 */
inline newest(s, a) {
  if
  :: a == path[s] -> forgetCandidate()
  :: a != path[s] && a == cand ->
     if :: came < 2 -> came++ :: else fi;
     if :: went == 3 -> newCandidate(a) :: else fi
  :: a != path[s] && a != cand ->
     newCandidate(a);
#ifdef EARLY_PATH
     switchPath(s, a)
#endif
  fi
}

inline newKeys(who, where, fresh, asker) {
  j = K(who, where, fresh);
  newGen[S(who, where)] = fresh;
  if :: by[j] != asker -> used[j] = 0; taken[j] = 0 :: else fi;      /* other keys than any before */
  by[j] = asker;
  count[j] = 0;
  seen[j] = 0
}

/* Opens a packet, or says that it doesn't open. */
inline open(n, s, m) {
  g_ = gen(m);
  j = K(n, s, g_);
  if
  :: !has(n, s) || g_ < oldGen[S(n, s)] || g_ > newGen[S(n, s)] || by[j] != maker(m) -> ok_ = false
  :: else ->
     if
     :: (seen[j] >> counter(m)) & 1 -> ok_ = false        /* the replay window */
     :: else ->
        ok_ = true;
        assert(!((taken[j] >> counter(m)) & 1));
        taken[j] = taken[j] | (1 << counter(m));
        x_ = (g_ == newGen[S(n, s)] || seen[K(n, s, newGen[S(n, s)])] == 0) && (seen[j] >> counter(m)) == 0;
        seen[j] = seen[j] | (1 << counter(m));
        if
        :: s == n && mine[n] == 2 -> mine[n] = 3; prefer(n, NONE)
        :: else
        fi;
        if
        :: g_ > sendGen[S(n, s)] ->                        /* who answered begins to send with the new keys */
           sendGen[S(n, s)] = g_;
           if :: cur[n] == s -> send(n, s, EMPTY, 0, toward(n, path[s])) :: else fi
        :: else
        fi;
        if
        :: n == B && s == cur[B] && x_ && kind(m) < CHAL -> newest(s, place(m))
        :: n == B && s == cur[B] && !(x_ && kind(m) < CHAL) && place(m) == cand && came < 2 -> came++
        :: else
        fi
     fi
  fi
}

/* RekeyRequest. */
inline request(n, s, m) {
  if
  :: extra(m) == sendGen[S(n, s)] + 1 && newGen[S(n, s)] > sendGen[S(n, s)] ->
     if                                     /* answered already: the same again */
     :: by[K(n, s, newGen[S(n, s)])] == other(n) -> send(n, s, ANS, extra(m), toward(n, path[s]))
     :: else
     fi
  :: extra(m) == sendGen[S(n, s)] + 1 && newGen[S(n, s)] == sendGen[S(n, s)] ->
     if
     :: asking[S(n, s)] && s == n           /* both ask: the one of the handshake's initiator stands */
     :: newGen[S(n, s)] - oldGen[S(n, s)] >= 2
     :: else ->
        asking[S(n, s)] = 0;
        newKeys(n, s, extra(m), other(n));
        send(n, s, ANS, extra(m), toward(n, path[s]))
     fi
  :: else
  fi
}

/* RekeyAnswer. */
inline answer(n, s, m) {
  if
  :: asking[S(n, s)] && extra(m) == sendGen[S(n, s)] + 1 ->
     asking[S(n, s)] = 0;
     newKeys(n, s, extra(m), n);
     sendGen[S(n, s)] = extra(m);
     send(n, s, EMPTY, 0, toward(n, path[s]))
  :: else
  fi
}

#ifdef M3_BOUND
#define mayConfirm(n, m) (n == A || place(m) == half[n])
#else
#define mayConfirm(n, m) true
#endif

inline receive(n, m) {
  if
  :: kind(m) == M1 && theirs[n] < 2 ->
     theirs[n] = 1;
     half[n] = place(m);
     put(pack(M2, n, session(m), 0, 0, 0, place(m), place(m)))
  :: kind(m) == M2 && mine[n] == 1 ->
     mine[n] = 2;
     heldHalf[n] = extra(m);
     if :: n == B -> path[B] = place(m) :: else fi;
     prefer(n, n);
     put(pack(M3, n, n, 0, 0, 0, heldHalf[n], toward(n, heldHalf[n])))
  :: kind(m) == M3 && theirs[n] == 1 && extra(m) == half[n] && (n == A || place(m) == half[n]) ->
     theirs[n] = 2;
     if :: n == B -> path[A] = place(m) :: else fi;        /* M1 and M3 from one place validate it */
     send(n, session(m), EMPTY, 0, toward(n, place(m)));
     prefer(n, session(m))
  :: kind(m) == M3 && theirs[n] == 2 && extra(m) == half[n] && mayConfirm(n, m) && cur[n] == session(m) ->
     send(n, session(m), EMPTY, 0, toward(n, place(m)))    /* M4 again: one small datagram for a large one */
  :: isTransport(m) ->
     open(n, session(m), m);
     if
     :: ok_ && session(m) == cur[n] ->
        if
        :: kind(m) == REQ -> request(n, session(m), m)
        :: kind(m) == ANS -> answer(n, session(m), m)
        :: kind(m) == CHAL && n == A ->
           /* To where it came from: through EVIL when EVIL brought it. */
           x_ = place(m);
           answered[x_] = answered[x_] | (1 << extra(m));
           send(A, session(m), RESP, extra(m), x_)
        :: kind(m) == RESP && n == B && cand != NOWHERE && place(m) == cand && extra(m) == token ->
           switchPath(session(m), cand)
        :: else
        fi
     :: else
     fi
  :: else
  fi
}

/* All that is due, once: M1 or M3 again; RekeyRequest again, else something to be heard by; a challenge. */
inline timers(n) {
  if
  :: mine[n] == 1 -> put(pack(M1, n, n, 0, 0, 0, 0, toward(n, HOME)))
  :: mine[n] == 2 -> put(pack(M3, n, n, 0, 0, 0, heldHalf[n], toward(n, heldHalf[n])))
  :: else
  fi;
  if
  :: cur[n] != NONE && asking[S(n, cur[n])] ->
     send(n, cur[n], REQ, sendGen[S(n, cur[n])] + 1, toward(n, path[cur[n]]))
  :: cur[n] != NONE && !asking[S(n, cur[n])] ->
     send(n, cur[n], EMPTY, 0, toward(n, path[cur[n]]))
  :: else
  fi;
  if :: n == B -> challenge() :: else fi
}

inline forgetKeys(n, s, g) {
  j = K(n, s, g);
  by[j] = 0; count[j] = 0; seen[j] = 0; used[j] = 0; taken[j] = 0
}

inline close(n, s) {
  gone[S(n, s)] = 1;
  for (g_ : 0 .. GENERATIONS - 1) { forgetKeys(n, s, g_) };
  sendGen[S(n, s)] = 0; newGen[S(n, s)] = 0; oldGen[S(n, s)] = 0
}

#ifdef OLD_KEYS_END
#define mayEndOld(n, s) (oldGen[S(n, s)] < sendGen[S(n, s)])
#else
#define mayEndOld(n, s) (oldGen[S(n, s)] < sendGen[S(n, s)] && seen[K(n, s, sendGen[S(n, s)])] != 0)
#endif
#define isSettled(n, s) (!asking[S(n, s)] && sendGen[S(n, s)] == newGen[S(n, s)])
#define mayAsk(n, s) (confirmed(n, s) && isSettled(n, s) && sendGen[S(n, s)] + 1 < GENERATIONS)

proctype Node(bit n) {
  byte k;
end:
  do
  /* Any datagram for this node, whichever was sent first. */
  :: atomic { (n == A -> fromA < inNet : fromA > 0) ->
       k = (n == A -> fromA : 0);
       do
       :: k + 1 < (n == A -> inNet : fromA) -> k++
       :: break
       od;
       skip;
       d_step {
         rx = net[k];
         take(k);
         printf("%d gets kind %d in session %d, generation %d, counter %d, extra %d, place %d\n",
           n, kind(rx), session(rx), gen(rx), counter(rx), extra(rx), place(rx));
         receive(n, rx)
       };
       k = 0 }

  :: atomic { inNet == 0 && ticks[n] > 0 -> d_step { ticks[n]--; printf("timers of %d\n", n); timers(n) } }

  /* Wants a session. */
  :: atomic { !calm && mine[n] == 0 && cur[n] == NONE ->
       d_step { mine[n] = 1; put(pack(M1, n, n, 0, 0, 0, 0, toward(n, HOME))) } }

  /* Wants new keys. */
  :: atomic { !calm && cur[n] != NONE && mayAsk(n, cur[n]) ->
       d_step {
         asking[S(n, cur[n])] = 1;
         send(n, cur[n], REQ, sendGen[S(n, cur[n])] + 1, toward(n, path[cur[n]]))
       } }

  /* The time of old keys, and of a superseded session, is over. */
  :: atomic { cur[n] != NONE && mayEndOld(n, cur[n]) ->
       d_step {
         printf("%d ends old keys\n", n);
         forgetKeys(n, cur[n], oldGen[S(n, cur[n])]);
         oldGen[S(n, cur[n])]++
       } }
  :: atomic { cur[n] != NONE && confirmed(n, other(cur[n])) ->
       d_step { printf("%d closes session %d\n", n, other(cur[n])); close(n, other(cur[n])) } }
  od
}

/* Thirty seconds are over. */
inline giveUp(n) {
  if
  :: mine[n] == 1 || mine[n] == 2 -> mine[n] = 4; prefer(n, NONE)
  :: else
  fi
}

inline any(count_) {
  k = 0;
  do
  :: k + 1 < count_ -> k++
  :: break
  od;
  skip
}

proctype World() {
  byte k;
end:
  do
  :: atomic { !calm && faults > 0 && inNet > 0 ->
       any(inNet);
       if
       :: d_step { printf("lost: kind %d of %d\n", kind(net[k]), from(net[k])); take(k) }
       :: d_step { printf("copied: kind %d of %d\n", kind(net[k]), from(net[k])); rx = net[k]; put(rx) }
       fi;
       faults--; k = 0 }
  :: atomic { !calm && faults > 0 && fromA > 0 && isTransport(net[fromA - 1]) ->
       k = fromA - 1;
       do
       :: k > 0 && isTransport(net[k - 1]) -> k--
       :: break
       od;
       skip;
       d_step { printf("sent from elsewhere:\n"); faults--; rx = (net[k] & ~3) | EVIL; put(rx) };
       k = 0 }
  :: atomic { !calm && moves > 0 && (mine[A] || theirs[A]) ->
       d_step {
         moves--;
         at = 1 - at;
         printf("0 moves to place %d\n", at);
         do
         :: k < inNet && from(net[k]) == B && place(net[k]) != at -> take(k)
         :: k < inNet && !(from(net[k]) == B && place(net[k]) != at) -> k++
         :: else -> break
         od;
         k = 0
       } }
  :: atomic { !calm && inNet == 0 ->
       d_step { printf("calm\n"); calm = true; faults = 0; moves = 0; ticks[A] = CALM; ticks[B] = CALM } }
  :: atomic { timeout && calm ->
       d_step {
         giveUp(A);
         giveUp(B);
         assert(cur[A] == cur[B]);
         if
         :: cur[A] != NONE ->
            s_ = cur[A];
            assert(sendGen[S(A, s_)] == sendGen[S(B, s_)]);
            assert(by[K(A, s_, sendGen[S(A, s_)])] == by[K(B, s_, sendGen[S(B, s_)])]);
            assert(path[s_] == at)
         :: else
         fi
       };
       break }
  od
}

init {
  if :: low = 0 :: low = 1 fi;
#ifdef OWN_CLOCKS
  if :: takesNewest[A] = true :: takesNewest[B] = true :: skip fi;
#endif
#ifdef ESTABLISHED
  /* One session, begun by either, confirmed on both sides, one packet each way; nobody begins another. */
  d_step {
    mine[low] = 3; theirs[other(low)] = 2; mine[other(low)] = 4; cur[A] = low; cur[B] = low;
    count[K(A, low, 0)] = 1; used[K(A, low, 0)] = 1; seen[K(A, low, 0)] = 1; taken[K(A, low, 0)] = 1;
    count[K(B, low, 0)] = 1; used[K(B, low, 0)] = 1; seen[K(B, low, 0)] = 1; taken[K(B, low, 0)] = 1
  };
#endif
  atomic { ticks[A] = TICKS; ticks[B] = TICKS; run Node(A); run Node(B); run World() }
}
