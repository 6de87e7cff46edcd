import MeshNode

/// A host's state directory: what was written, and what of it would survive a power cut.
struct Disk {
  private(set) var written: NodeSnapshot?
  private var synced: NodeSnapshot?

  mutating func write(_ snapshot: NodeSnapshot) { written = snapshot }
  mutating func sync() { synced = written }
  /// A crash: what wasn't synced is gone.
  mutating func crash() { written = synced }
}
