/// What a signature is for. Each use signs under its own FIPS 204 context string (§5.2), so that a signature
/// made for one use fails in every other; there is no way in this module to sign without one.
public enum SignatureContext: String, CaseIterable, Sendable {
  case handshakeInitiator = "shadowmesh/1 hs-init"
  case handshakeResponder = "shadowmesh/1 hs-resp"
  case login = "shadowmesh/1 login"
  case peerRecord = "shadowmesh/1 peer-record"
  case reservation = "shadowmesh/1 reservation"
  case operatorStatement = "shadowmesh/1 operator"

  /// The context string as FIPS 204 takes it: ASCII, at most 255 bytes.
  public var bytes: [UInt8] { Array(rawValue.utf8) }
}
