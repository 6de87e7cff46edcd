import BackboneAPI
import MeshCrypto
public import MeshWire

/// Who may log in.
public enum Admission: Hashable, Sendable {
  /// Whoever holds a key.
  case open
  /// Whoever brought an invite once.
  case invite
  /// These, and no others.
  case list(Set<KeyHash>)
}

/// Why a login is refused. Only ``badChallenge`` is told apart to the client; the others count in metrics.
enum LoginRefusal: String, Error, CaseIterable, Sendable {
  /// Expired, or not issued by this region.
  case badChallenge = "bad_challenge"
  case badKey = "bad_key"
  /// The PeerID isn't the public key's.
  case wrongPeerID = "wrong_peer_id"
  /// Signed for another origin.
  case foreignAudience = "foreign_audience"
  case badSignature = "bad_signature"
  case notAdmitted = "not_admitted"
  case badInvite = "bad_invite"
  /// The challenge was redeemed before.
  case challengeUsed = "challenge_used"

  /// What the client is told.
  var problem: Problem {
    self == .badChallenge ? Problem(.challengeRefused) : Problem(.loginRefused)
  }
}

/// The rule of a login, without I/O: what was asked and the facts go in, a decision comes out.
struct LoginRule: Sendable {
  let region: Region
  let backbone: KeyHash
  /// The origins that this backbone answers to, at least one; the first stands for a request that names none.
  let origins: [Origin]
  let admission: Admission
  let challengeKey: [UInt8]

  /// A login whose form is in order and whose signature is to be checked next.
  struct Pending: Sendable {
    let statement: LoginStatement
    let publicKey: IdentityPublicKey
    let signature: [UInt8]
    let challenge: LoginChallenge
    let invite: String?
  }

  /// What the store and the signature check say of a pending login.
  struct Facts: Sendable {
    let signatureHolds: Bool
    /// Whether the key has been admitted by an invite before.
    let wasAdmitted: Bool
  }

  /// What to do about a login that is granted as far as the facts go: the store decides on the rest
  /// atomically.
  enum Grant: Hashable, Sendable {
    case redeemChallenge
    /// Only together with an invite whose secret is this one.
    case redeemChallengeAndInvite(secret: String)
  }

  /// The cheap checks, before any signature.
  func examine(_ request: VerifyRequest, now: WallTime) throws(LoginRefusal) -> Pending {
    guard let challenge = LoginChallenge(request.challenge, key: challengeKey, now: now) else {
      throw .badChallenge
    }
    guard let publicKey = IdentityPublicKey(request.publicKey) else { throw .badKey }
    guard publicKey.keyHash.peerID == request.peerID else { throw .wrongPeerID }
    guard
      let audience = origins.first(where: { request.audience == nil || $0.description == request.audience })
    else { throw .foreignAudience }
    let statement = LoginStatement(
      audience: audience, region: region, backbone: backbone, challenge: request.challenge,
      node: publicKey.keyHash)
    return Pending(
      statement: statement, publicKey: publicKey, signature: request.signature, challenge: challenge,
      invite: request.invite)
  }

  /// The decision, once the facts are in.
  func decide(_ pending: Pending, _ facts: Facts) throws(LoginRefusal) -> Grant {
    guard facts.signatureHolds else { throw .badSignature }
    switch admission {
    case .open: return .redeemChallenge
    case .list(let listed):
      guard listed.contains(pending.statement.node) else { throw .notAdmitted }
      return .redeemChallenge
    case .invite:
      if facts.wasAdmitted { return .redeemChallenge }
      guard let secret = pending.invite else { throw .notAdmitted }
      return .redeemChallengeAndInvite(secret: secret)
    }
  }
}
