/// The one size that everything in a circuit has (docs/protocol/relays.md), in bytes.
///
/// A cell travels in one transport packet between neighbours: 33 of overhead ‖ circuit id 4 ‖ body 1,415 make 1,452,
/// which fits 1,500 under IPv6 and UDP; on a path that carries less it travels in two.
public enum CellLayout {
  /// Most relays of a chain.
  public static let longestChain = 3
  /// Names a circuit between two neighbours.
  public static let circuitSize = 4
  /// The body, whose size never changes on its way.
  public static let bodySize = 1_415
  /// What one hop adds or strips: sequence 8 ‖ tag 16.
  public static let layerSize = 24
  /// Before the datagram inside.
  static let lengthSize = 2
  /// The largest datagram that a circuit carries, however many hops it has.
  public static let largestPayload = bodySize - longestChain * layerSize - lengthSize

  /// Bytes of the body that mean something where `layers` layers have been stripped, or not been put on yet; zeros
  /// follow.
  public static func meaningful(_ layers: Int) -> Int { bodySize - layers * layerSize }
}
