/// The datagrams of SMH/1 and their sizes (docs/protocol/SMH1.md §2, §3, §8), in bytes.
public enum Layout {
  // Specification

  /// The first byte of a datagram.
  public enum Kind: UInt8, CaseIterable, Sendable {
    case transport = 1
    case m1 = 2
    case retry = 3
    case m2a = 4
    case m2b = 5
    case m3 = 6
    case ack = 7
  }

  /// The only version there is.
  public static let version: UInt8 = 1
  /// The largest UDP payload before a larger one has been proved on the path: IPv6's 1,280 less 48.
  public static let basePayload = 1_232
  /// The payloads that path probes try, in ascending order: one that carries an overlay packet of 1,280
  /// whole; what a relay circuit carries; and links and tunnels of 1,420, 1,460, 1,492 (PPPoE) and 1,500 less
  /// 48 for IPv6 and UDP headers.
  public static let probedPayloads = [1_313, 1_341, 1_372, 1_412, 1_444, 1_452]

  static let tagSize = 16
  static let idSize = 8
  static let cookieSize = 16
  static let macSize = 16
  static let randomSize = 32
  static let finishedSize = 32
  static let keyHashSize = 32
  static let signatureSize = 4_627
  static let publicKeySize = 2_592
  static let offerSize = 1_600

  /// type, version, suite, index, count, initiator id: what stands before the cookie in M1.
  static let m1CookieOffset = 13
  static let m1MacOffset = 29
  static let m1HeaderSize = 45
  static let m1FragmentSize = 1_187
  static let m1BodySize = 1_664
  static let m1CapsSize = 32
  static let m1MaximumOffered = 4
  /// Where the random stands in M1's body, and in its second fragment's datagram.
  static let m1RandomOffset = 1_600
  static let m1RandomInFragment = 413

  /// type, version, suite, index, count, receiver id.
  static let headSize = 13
  static let headerSize = 29
  static let fragmentSize = 1_203
  static let m2aBodySize = 1_624
  static let m2aCapsSize = 16
  static let m2aCount = 2
  /// Identity bodies: KeyHash, signature, finished value; a public key more when asked for or not known.
  static let identityBodySize = 4_691
  static let identityBodySizeWithKey = 7_283
  static let retrySize = 45
  static let ackSize = 31

  /// type, reserved 3, receiver index, counter.
  public static let transportHeaderSize = 16
  /// Header, tag and the byte that says what follows.
  public static let wholeOverhead = 33
  /// The same with message id 4, index and count.
  public static let pieceOverhead = 39
  /// Header and tag around nothing: M4 and the keepalive.
  public static let emptySize = 32
  static let packetPieces = 2
  static let controlPieces = 12

  // Implementation

  /// Whether `bytes` begin as a transport packet does, without looking further.
  public static func isTransport(_ first: UInt8) -> Bool { first == Kind.transport.rawValue }

  /// Datagrams that a body of `size` bytes takes, for M2a, M2b and M3.
  static func fragmentCount(_ size: Int) -> Int { (size + fragmentSize - 1) / fragmentSize }

  /// Bytes of fragment `index` of a body of `size` bytes.
  static func fragmentLength(_ index: Int, of size: Int) -> Int {
    min(fragmentSize, size - index * fragmentSize)
  }
}

/// Times and bounds of SMH/1 (§5, §7, §8, §9).
enum Limits {
  // Specification

  static let firstInterval = Duration.milliseconds(500)
  static let longestInterval = Duration.seconds(2)
  static let handshakeLife = Duration.seconds(30)
  static let unvalidatedLife = Duration.seconds(3)
  static let validatedLife = Duration.seconds(12)
  static let retryInterval = Duration.seconds(1)
  static let retriesAtOnce = 4
  static let confirmationInterval = Duration.milliseconds(250)
  static let cookieLife = Duration.seconds(120)
  static let earlyPackets = 16
  static let amplification = 3

  static let rekeyAfterPackets: UInt64 = 1 << 26
  static let refuseAfterPackets: UInt64 = 1 << 28
  static let rekeyAsInitiator = Duration.seconds(120)
  static let rekeyAsResponder = Duration.seconds(130)
  static let keyLife = Duration.seconds(180)
  static let oldKeyLife = Duration.seconds(10)
  /// Generations of keys that may be kept beside the newest.
  static let oldEpochs = 2
  static let identityLife = Duration.seconds(24 * 3_600)
  static let rekeyInterval = Duration.seconds(1)
  static let longestRekeyInterval = Duration.seconds(16)
  static let rekeyTries = 60
  static let keepalive = Duration.seconds(25)
  static let longestKeepalive = Duration.seconds(55)
  static let passiveKeepalive = Duration.seconds(10)
  static let silence = Duration.seconds(15)
  static let pieceLife = Duration.seconds(1)
  static let unfinishedMessages = 64
  static let unfinishedBytes = 128 * 1_024
  static let probeInterval = Duration.seconds(1)
  static let probeTries = 3
  static let probePause = Duration.seconds(600)
  static let probePauseAfterLoss = Duration.seconds(60)
  static let probeConfirmation = Duration.seconds(1)
  static let confirmationTries = 6
  static let probeGrace = Duration.milliseconds(500)
  static let checkedProbeGrace = Duration.milliseconds(250)
  static let probeDoubtPause = Duration.seconds(5)
  static let challengeInterval = Duration.seconds(1)
  static let challengeTries = 3

  // Implementation

  /// Acks of M2 without progress before the initiator forgets what it has and sends M1 again.
  static let fruitlessAcks = 5
  /// Half-opens of one address and initiator id, when fragments of M1 contradict each other.
  static let claimsPerOrigin = 4
  /// M2b fragments that don't open before the M2a that they stand under is given up.
  static let unopenedBeforeForgetting = 4
  /// Handshakes completed as responder that are remembered, so that a repeated M3 gets the M4 again.
  static let rememberedHandshakes = 1_024
  /// Empty packets that an asker sends under new keys while nothing under them has come back.
  static let rekeyConfirmations = 10
}
