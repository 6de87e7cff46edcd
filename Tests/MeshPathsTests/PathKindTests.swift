import MeshPaths
import Testing

@Suite struct PathKindTests {
  @Test func fewerHopsAreBetter() {
    let shuffled: [PathKind] = [.relayed(hops: 3), .direct, .relayed(hops: 1), .local, .relayed(hops: 2)]
    #expect(
      shuffled.sorted() == [.local, .direct, .relayed(hops: 1), .relayed(hops: 2), .relayed(hops: 3)])
  }
}
