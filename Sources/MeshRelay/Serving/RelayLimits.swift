/// What a relay gives to others at most. Each bound that is hit has a counter.
public struct RelayLimits: Sendable, Hashable {
  /// What is relayed in all, both ways together, in bytes a second: the offered Mbit/s.
  public var bytesPerSecond: Double
  public var circuits = 1_024
  public var circuitsPerNeighbour = 128
  /// Of the neighbours of one /24 or /56.
  public var circuitsPerPrefix = 256
  public var reservations = 512
  public var reservationsPerPrefix = 16
  /// Create messages whose key exchange is being computed.
  public var creating = 64
  /// Create messages a second, in all and of one neighbour.
  public var createsPerSecond = 40
  public var createsPerNeighbour = 8
  /// Bytes that a reservation lets through until it is renewed.
  public var bytesPerReservation: UInt64 = 64 << 30
  /// And one circuit in its life.
  public var bytesPerCircuit: UInt64 = 64 << 30

  /// For so long a reservation holds unless it is renewed.
  public static let reservationLife = Duration.seconds(3_600)
  /// The longest life of a circuit.
  public static let circuitLife = Duration.seconds(24 * 3_600)
  /// A circuit through which nothing came for so long ends.
  public static let idle = Duration.seconds(180)
  /// For so long a circuit may take until the first cell comes back.
  public static let unconfirmed = Duration.seconds(15)
  /// How far a client's clock may be from ours, either way.
  public static let clockTolerance = Duration.seconds(600)
  /// For so long a create message is remembered, so that none is taken twice: as long as its time is good.
  public static let replayMemory = Duration.seconds(1_260)
  /// Create messages remembered at once: 40 a second for 21 minutes.
  public static let remembered = 50_400

  /// - Parameter offer: Mbit/s.
  public init(offer: UInt32) { bytesPerSecond = Double(offer) * 125_000 }
}
