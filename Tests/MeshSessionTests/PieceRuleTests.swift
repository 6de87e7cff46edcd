import MeshWire
import Testing

@testable import MeshSession

/// Which pieces make a message.
@Suite struct PieceRuleTests {
  private func add(
    _ table: inout PieceTable, index: UInt8, of count: UInt8, size: Int = 10, isControl: Bool = false,
    receiveIndex: UInt32 = 1
  ) -> String {
    let piece = [0, 0, 0, 1, index, count] + [UInt8](repeating: 5, count: size)
    return
      switch table.add(
        piece, of: isControl ? .controlPiece : .packetPiece, receiveIndex: receiveIndex, now: World.start)
    {
    case .waiting: "waiting"
    case .complete(let message): "complete \(message.count)"
    case .dropped(let reason): "\(reason)"
    }
  }

  @Test(arguments: [0, 1, 3, 12, 255] as [UInt8])
  func aPacketIsOfTwoPieces(count: UInt8) {
    var table = PieceTable()
    #expect(add(&table, index: 0, of: count) == "badPiece")
    #expect(table.count == 0)
    #expect(add(&table, index: 0, of: 2) == "waiting")
  }

  @Test(arguments: [0, 1, 13, 255] as [UInt8])
  func aControlMessageIsOfTwoToTwelvePieces(count: UInt8) {
    var table = PieceTable()
    #expect(add(&table, index: 0, of: count, isControl: true) == "badPiece")
    #expect(table.count == 0)
    #expect(add(&table, index: 0, of: 12, isControl: true) == "waiting")
  }

  @Test func piecesUnderDifferentKeysMakeNoMessage() {
    var table = PieceTable()
    #expect(add(&table, index: 0, of: 2, receiveIndex: 1) == "waiting")
    #expect(add(&table, index: 1, of: 2, receiveIndex: 2) == "waiting")
    #expect(add(&table, index: 1, of: 2, receiveIndex: 1) == "complete 20")
  }

  @Test func thePiecesOfOneMessageAgreeHowManyTheyAre() {
    var table = PieceTable()
    #expect(add(&table, index: 0, of: 3, isControl: true) == "waiting")
    #expect(add(&table, index: 1, of: 4, isControl: true) == "badPiece")
    #expect(add(&table, index: 3, of: 4, isControl: true) == "badPiece")
    #expect(add(&table, index: 1, of: 3, isControl: true) == "waiting")
  }

  @Test func allPiecesButTheLastAreOfOneSize() {
    var table = PieceTable()
    #expect(add(&table, index: 0, of: 3, size: 10, isControl: true) == "waiting")
    #expect(add(&table, index: 1, of: 3, size: 9, isControl: true) == "waiting")
    #expect(add(&table, index: 2, of: 3, size: 8, isControl: true) == "badPiece")
    #expect(table.count == 0)
  }

  @Test func whatIsCompleteTakesNoRoomAnyMore() {
    var table = PieceTable()
    for _ in 0..<1_000 {
      #expect(add(&table, index: 0, of: 2, size: 1_000) == "waiting")
      #expect(add(&table, index: 1, of: 2, size: 1_000) == "complete 2000")
    }
  }
}
