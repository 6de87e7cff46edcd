/// Why a message from outside could not be read.
public enum DecodingFailure: Error, Hashable, Sendable {
  /// It ended before a field did.
  case truncated
  /// Bytes were left over after the last field.
  case trailingBytes
  /// A count or length is over the limit for its field.
  case tooLarge
  /// A field holds a value that its type doesn't have.
  case badValue
  /// A version that this code doesn't speak.
  case unknownVersion
}

/// Reads a message field by field, big-endian, never past its end.
public struct ByteReader: Sendable {
  private let storage: ArraySlice<UInt8>
  private var position: Int

  public init(_ bytes: ArraySlice<UInt8>) {
    storage = bytes
    position = bytes.startIndex
  }

  public init(_ bytes: [UInt8]) { self.init(bytes[...]) }

  /// Bytes not read yet.
  public var remaining: Int { storage.endIndex - position }

  /// Reads `count` bytes. A negative or too large count throws `.truncated`.
  public mutating func slice(_ count: Int) throws(DecodingFailure) -> ArraySlice<UInt8> {
    guard count >= 0, count <= remaining else { throw .truncated }
    defer { position += count }
    return storage[position..<position + count]
  }

  /// Reads `count` bytes, or an unsigned integer in network byte order; what is too short throws
  /// `.truncated`.
  public mutating func bytes(_ count: Int) throws(DecodingFailure) -> [UInt8] { Array(try slice(count)) }
  public mutating func uint8() throws(DecodingFailure) -> UInt8 { try integer() }
  public mutating func uint16() throws(DecodingFailure) -> UInt16 { try integer() }
  public mutating func uint32() throws(DecodingFailure) -> UInt32 { try integer() }
  public mutating func uint64() throws(DecodingFailure) -> UInt64 { try integer() }

  /// Reads the 32 bytes of a full identity.
  public mutating func keyHash() throws(DecodingFailure) -> KeyHash {
    guard let hash = KeyHash(try slice(KeyHash.size)) else { throw .badValue }
    return hash
  }

  /// Reads the 20 bytes of a routing id.
  public mutating func peerID() throws(DecodingFailure) -> PeerID {
    guard let id = PeerID(try slice(PeerID.size)) else { throw .badValue }
    return id
  }

  /// Reads `count` bytes that must all be zero.
  public mutating func zeros(_ count: Int) throws(DecodingFailure) {
    guard try slice(count).allSatisfy({ $0 == 0 }) else { throw .badValue }
  }

  /// The message must end here.
  public func end() throws(DecodingFailure) {
    guard remaining == 0 else { throw .trailingBytes }
  }

  private mutating func integer<Value: FixedWidthInteger & UnsignedInteger>() throws(DecodingFailure)
    -> Value
  {
    var value: Value = 0
    for byte in try slice(Value.bitWidth / 8) { value = value << 8 | Value(byte) }
    return value
  }
}
