import MeshWire

/// What is to happen, the earliest first; of two at the same moment, the one that was put in first. A binary
/// heap.
struct EventQueue<Event> {
  private struct Entry {
    let at: Instant
    let order: UInt64
    let event: Event

    func isBefore(_ other: Entry) -> Bool { at == other.at ? order < other.order : at < other.at }
  }

  private var heap: [Entry] = []
  private var nextOrder: UInt64 = 0

  var count: Int { heap.count }
  var nextTime: Instant? { heap.first?.at }

  mutating func insert(_ event: Event, at time: Instant) {
    heap.append(Entry(at: time, order: nextOrder, event: event))
    nextOrder += 1
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].isBefore(heap[parent]) else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func removeFirst() -> (at: Instant, event: Event)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      sink()
    }
    return (first.at, first.event)
  }

  private mutating func sink() {
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].isBefore(heap[least]) {
        least = child
      }
      guard least != parent else { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
