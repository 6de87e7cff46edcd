/// The UDP port that a node listens on.
public enum ListenPort: Hashable, Sendable, CustomStringConvertible {
  /// One of ``randomRange``, drawn once and kept in the state directory. Two nodes behind one NAT then seldom
  /// share a source port, which is what makes a well-behaved NAT look symmetric to one of them (RFC 4787
  /// §4.2.1, port overloading).
  case auto
  case fixed(UInt16)

  /// What a public node listens on unless it is told otherwise: others dial it, and firewalls name it.
  public static let publicDefault = ListenPort.fixed(8_443)
  /// Above what services of this machine use.
  static let randomRange: ClosedRange<UInt16> = 16_384...65_535

  /// `auto`, or a port from 1 to 65535.
  init?(_ text: String) {
    guard text != "auto" else {
      self = .auto
      return
    }
    guard text.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(text), port > 0 else {
      return nil
    }
    self = .fixed(port)
  }

  public var description: String {
    switch self {
    case .auto: "auto"
    case .fixed(let port): "\(port)"
    }
  }
}
