import MeshRelay
import Testing

@Suite struct CellLayoutTests {
  @Test func aWholeCellFitsAnOrdinaryPath() {
    #expect(33 + CellLayout.circuitSize + CellLayout.bodySize == 1_452)
    #expect(CellLayout.largestPayload == 1_341)
    #expect(CellLayout.meaningful(CellLayout.longestChain) == CellLayout.largestPayload + 2)
  }
}
