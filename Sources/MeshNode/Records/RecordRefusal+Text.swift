public import MeshCrypto

extension RecordRefusal {
  /// Why, for a person.
  public var plainly: String {
    switch self {
    case .malformed: "it is malformed"
    case .wrongKeyHash: "its key is another node's"
    case .badSignature: "its signature is wrong"
    case .expired: "it has expired"
    case .expiresTooLate: "it claims to be good for longer than any record may"
    case .wrongPrivatePart: "its private part isn't the one that was signed"
    case .lowerSequence: "it is older than the one that is known"
    case .conflictingContent: "it differs from the known one under the same number"
    case .otherOwner: "it belongs to another key than the pinned one"
    }
  }
}
