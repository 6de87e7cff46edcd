import BackboneAPI
import MeshCrypto

/// The query of `GET /api/peers/relays`: `region` and `limit`, each at most once, in either order.
struct RelayQuery: Hashable {
  private(set) var region: Region?
  private(set) var limit = RelayList.defaultCount

  /// Throws ``Refusal`` for anything else.
  init(_ query: Substring?) throws(Refusal) {
    var hasLimit = false
    for part in (query ?? "").split(separator: "&", omittingEmptySubsequences: false) {
      if part.isEmpty, query?.isEmpty != false { break }
      let mark = part.firstIndex(of: "=") ?? part.endIndex
      let value = part[mark...].dropFirst()
      switch part[..<mark] {
      case "region":
        guard region == nil, let name = Region(value) else {
          throw Self.refusal("region must be given once, as 1 to 32 characters of a-z, 0-9, - and _")
        }
        region = name
      case "limit":
        guard !hasLimit, value.utf8.count <= 2, value.utf8.allSatisfy({ (48...57).contains($0) }),
          let number = Int(value), (1...RelayList.maximumCount).contains(number)
        else {
          throw Self.refusal("limit must be given once, as 1 to \(RelayList.maximumCount)")
        }
        hasLimit = true
        limit = number
      default: throw Self.refusal("only region and limit may be given")
      }
    }
  }

  private static func refusal(_ detail: String) -> Refusal { Refusal(.malformedRequest, detail: detail) }
}
