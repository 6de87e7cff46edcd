/// An IPv4 or IPv6 address. No names, no zones: link-local addresses are of no use beyond their link.
public enum IPAddress: Hashable, Sendable {
  /// 32 bits, host order: 127.0.0.1 is 0x7f00_0001.
  case v4(UInt32)
  /// 128 bits, host order.
  case v6(UInt128)

  /// Reads 4 or 16 bytes in network order; `nil` for any other length.
  @inlinable public init?(_ bytes: some Collection<UInt8>) {
    switch bytes.count {
    case 4: self = .v4(bytes.reduce(0) { $0 << 8 | UInt32($1) })
    case 16: self = .v6(bytes.reduce(0) { $0 << 8 | UInt128($1) })
    default: return nil
    }
  }

  /// 4 or 16 bytes in network order.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    switch self {
    case .v4(let value): bytes.append(bigEndian: value)
    case .v6(let value): bytes.append(bigEndian: value)
    }
    return bytes
  }

  /// The unit that limits are held against: a /24 of IPv4, a /56 of IPv6 (protocol.md §4).
  public var limitPrefix: IPAddress {
    switch self {
    case .v4(let value): .v4(value & 0xffff_ff00)
    // Of a stream, the network that it came from; of circuits, all together.
    case .v6(let value): .v6(isCarrier ? (value >> 32) << 32 : (value >> 72) << 72)
    }
  }

  /// 127.0.0.0/8 or ::1.
  public var isLoopback: Bool {
    switch self {
    case .v4(let value): value >> 24 == 127
    case .v6(let value): value == 1
    }
  }

  /// 224.0.0.0/4 and the broadcast address, or ff00::/8.
  public var isMulticast: Bool {
    switch self {
    case .v4(let value): value >> 28 == 14 || value == .max
    case .v6(let value): value >> 120 == 0xff
    }
  }

  /// 169.254.0.0/16 or fe80::/10.
  public var isLinkLocal: Bool {
    switch self {
    case .v4(let value): value >> 16 == 0xa9fe
    case .v6(let value): value >> 118 == 0x3fa
    }
  }

  /// 0.0.0.0 or ::.
  public var isUnspecified: Bool {
    switch self {
    case .v4(let value): value == 0
    case .v6(let value): value == 0
    }
  }

  /// ::ffff:0:0/96 (RFC 4291 §2.5.5.2): IPv4 as a dual-stack socket writes it. Here such an address is `.v4`.
  public var isMappedIPv4: Bool {
    switch self {
    case .v4: false
    case .v6(let value): value >> 32 == 0xffff
    }
  }

  /// Of a private network: 10/8, 172.16/12, 192.168/16 (RFC 1918), fc00::/7 (RFC 4193) but for the overlay.
  public var isPrivateUse: Bool {
    switch self {
    case .v4(let value): value >> 24 == 10 || value >> 20 == 0xac1 || value >> 16 == 0xc0a8
    case .v6(let value): value >> 121 == 0x7e && !isOverlay
    }
  }

  /// Inside the overlay's own prefix, fd73:6d00::/24: never an underlay address.
  public var isOverlay: Bool {
    switch self {
    case .v4: false
    case .v6(let value): value >> 104 == OverlayAddress.prefix
    }
  }
}

extension IPAddress: CustomStringConvertible {
  /// Dotted decimal, or RFC 5952 text.
  public var description: String {
    switch self {
    case .v4(let value):
      return "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
    case .v6(let value):
      return Self.text(of: (0..<8).map { UInt16(truncatingIfNeeded: value >> (112 - 16 * $0)) })
    }
  }

  /// RFC 5952 §4: lowercase, the longest run of two or more zero groups (the first of equals) becomes `::`.
  private static func text(of groups: [UInt16]) -> String {
    var best = 0..<0
    var start = 0
    while start < groups.count {
      var end = start
      while end < groups.count, groups[end] == 0 { end += 1 }
      if end - start > best.count { best = start..<end }
      start = max(end, start + 1)
    }
    func joined(_ part: ArraySlice<UInt16>) -> String {
      part.map { String($0, radix: 16) }.joined(separator: ":")
    }
    if best.count < 2 { return joined(groups[...]) }
    return joined(groups[..<best.lowerBound]) + "::" + joined(groups[best.upperBound...])
  }

  /// Parses dotted decimal or RFC 4291 §2.2 text (no embedded IPv4, no zone); `nil` for anything else.
  public init?(_ text: some StringProtocol) {
    if text.contains(":") {
      guard let value = Self.v6Value(of: text) else { return nil }
      self = .v6(value)
    } else {
      let parts = text.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 4 else { return nil }
      var value: UInt32 = 0
      for part in parts {
        guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }),
          part == "0" || part.first != "0", let byte = UInt8(part)
        else { return nil }
        value = value << 8 | UInt32(byte)
      }
      self = .v4(value)
    }
  }

  private static func v6Value(of text: some StringProtocol) -> UInt128? {
    func groups(_ part: some StringProtocol) -> [UInt16]? {
      if part.isEmpty { return [] }
      var groups: [UInt16] = []
      for digits in part.split(separator: ":", omittingEmptySubsequences: false) {
        guard (1...4).contains(digits.utf8.count), digits.first != "+", digits.first != "-",
          let group = UInt16(digits, radix: 16)
        else { return nil }
        groups.append(group)
      }
      return groups
    }
    let bytes = Array(text)
    var gap: Int?
    for index in bytes.indices.dropLast() where bytes[index] == ":" && bytes[index + 1] == ":" {
      guard gap == nil else { return nil }
      gap = index
    }
    let all: [UInt16]
    if let gap {
      guard let head = groups(String(bytes[..<gap])), let tail = groups(String(bytes[(gap + 2)...])),
        head.count + tail.count < 8
      else { return nil }
      all = head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
    } else {
      guard let whole = groups(text), whole.count == 8 else { return nil }
      all = whole
    }
    return all.reduce(0) { $0 << 16 | UInt128($1) }
  }
}
