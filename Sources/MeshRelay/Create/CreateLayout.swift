import MeshWire

/// The message that builds a circuit (docs/protocol/relays.md), in bytes: one layer a relay, each within the
/// one before it.
///
/// A layer at position `k` of a chain always has the same size, however many come after it: who is not the
/// last can't tell from the size how far it goes on.
public enum CreateLayout {
  static let version: UInt8 = 1
  static let keyIDSize = 8
  static let exchangeSize = 1_600
  /// version, key id, the client's half of the key exchange: in the clear, and authenticated.
  static let headSize = 1 + keyIDSize + exchangeSize
  static let tagSize = 16
  /// command, time.
  static let commandSize = 1 + 8
  /// The next relay's KeyHash and endpoint.
  static let nextSize = KeyHash.size + Endpoint.size
  static let reservationSize = 16
  private static let overhead = headSize + commandSize + tagSize

  /// Size of the layer for the relay at `position`, 0 to 2.
  public static func size(_ position: Int) -> Int {
    position == CellLayout.longestChain - 1
      ? overhead + reservationSize : overhead + nextSize + size(position + 1)
  }

  /// The position that a layer of this size is for; `nil` for any other size.
  static func position(ofSize size: Int) -> Int? {
    (0..<CellLayout.longestChain).first { self.size($0) == size }
  }

  enum Command: UInt8 {
    case extend = 1
    case end = 2
  }
}
