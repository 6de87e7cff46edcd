import MeshCrypto

/// The paths that a backbone serves. Their answers are described by its `/openapi.json`.
public enum Route: String, CaseIterable, Sendable {
  case challenge = "/api/auth/challenge"
  case verify = "/api/auth/verify"
  case lookUp = "/api/peers/lookup"
  case record = "/api/peers/record"
  case relays = "/api/peers/relays"
  case health = "/health"
  case ready = "/ready"
  case metrics = "/metrics"
  case openAPI = "/openapi.json"
}

/// Bounds of the API, in bytes.
public enum MessageLimit {
  /// The body of `POST /api/auth/verify`: a signature and a public key in base64 are 9.6 KB.
  public static let login = 16 << 10
  /// The body of `PUT /api/peers/record`: a record with its private part in base64.
  public static let record = 24 << 10
  /// Any answer but a list of relays, as far as the client reads.
  public static let answer = 64 << 10
  /// The answer of `GET /api/peers/relays`: so many records, and a little around each.
  public static let relays = RelayList.maximumCount * (publicRecord + 16) + 64
  /// A record without private part in base64.
  static let publicRecord =
    (UnverifiedPeerRecord.sizeLimit - RecordPrivatePart.sizeLimit + 2) / 3 * 4
  /// A challenge, as raw bytes.
  public static let challenge = 128
}
