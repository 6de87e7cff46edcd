import Logging
import MeshWire

/// The relay that longer chains begin at, kept over restarts: a node that chose a new one at each start
/// would, sooner or later, choose one that watches.
struct EntryRelay: Sendable {
  let folder: StateFolder
  let logger: Logger

  /// The one that was kept; without a file, or with one that can't be used, another is chosen.
  func kept() -> KeyHash? {
    do { return try folder.readEntryRelay() } catch {
      logger.warning("the entry relay was not read", metadata: ["reason": "\(error)"])
      return nil
    }
  }

  /// Keeps another, or none.
  func keep(_ relay: KeyHash?) {
    do { try folder.writeEntryRelay(relay) } catch {
      logger.warning("the entry relay was not saved", metadata: ["reason": "\(error)"])
    }
  }
}
