import MeshRelay
import MeshWire

extension ControlMessage {
  /// Reads CreateCircuit or CircuitClosed, from behind its type.
  static func circuitMessage(
    _ type: UInt8, _ reader: inout ByteReader
  ) throws(DecodingFailure) -> ControlMessage {
    let circuit = try reader.uint32()
    guard type == 0x12 else {
      guard let end = CircuitEnd(rawValue: try reader.uint8()) else { throw .badValue }
      return .circuitClosed(circuit, end)
    }
    guard (0..<CellLayout.longestChain).contains(where: { CreateLayout.size($0) == reader.remaining }) else {
      throw .badValue
    }
    return .createCircuit(circuit, layer: try reader.bytes(reader.remaining))
  }
}

extension ByteReader {
  /// Reads id 16, life 4 (seconds), bytes 4 (MiB), rate 4 (kbit/s).
  mutating func grant() throws(DecodingFailure) -> ReservationGrant {
    let id = try bytes(16)
    let life = Duration.seconds(Int64(try uint32()))
    let bytes = UInt64(try uint32()) << 20
    return ReservationGrant(id: id, life: life, bytes: bytes, kilobitsPerSecond: try uint32())
  }
}

extension ByteWriter {
  mutating func write(_ grant: ReservationGrant) {
    write(grant.id)
    write(UInt32(clamping: grant.life.components.seconds))
    write(UInt32(clamping: grant.bytes >> 20))
    write(grant.kilobitsPerSecond)
  }
}
