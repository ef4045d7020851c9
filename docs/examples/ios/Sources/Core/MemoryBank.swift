/// After so many frames in which no object was seen, the previous frame is not remembered.
let forgetFrames = 30

private let referenceSlotIndex = 0
private let previousSlotIndex = 1

/// Keep entries of past frames in N slots, as runtime/memory.py, which says why.
///
/// Slot 0 is a reference, slot 1 the previous frame, the rest a ring. A frame with a given mask is a
/// reference and stays; when there are more than N - 2 of them, one that no object depends on gives
/// way. Where the newest is a part of its frame, a slot of the ring holds all of that frame, if there
/// is one.
struct MemoryBank {
    /// (N, Ck, h, w)
    private(set) var key: [Float]
    /// (N, Cv, h, w)
    private(set) var value: [Float]
    /// (N, 1, 1, 1), 0 for an empty slot
    private(set) var valid: [Float]
    private let channels: Int
    private let manifest: Manifest
    private let part: Int  // of one slot's value: what belongs to one channel
    private var written: [Int: Int] = [:]  // slot to frame
    private var home: [Int: Int] = [:]  // object to the slot of the reference that it depends on
    private var references: Set<Int> = []
    private var wideSlot: Int?  // of the newest reference's whole frame
    private var blank: [Float]?  // what memory holds of an object that is nowhere
    private var forgotten: Set<Int> = []  // to be blanked
    private var lastKept = 0
    private var unseen = 0

    init(manifest: Manifest) {
        let (keyShape, valueShape) = (manifest.step.shape("memory_key"), manifest.step.shape("memory_value"))
        precondition(keyShape[0] >= 2, "a memory of \(keyShape[0]) slots; at least 2 are needed")
        self.manifest = manifest
        channels = manifest.step.shape("prompt")[1]
        key = [Float](repeating: 0, count: keyShape.reduce(1, *))
        value = [Float](repeating: 0, count: valueShape.reduce(1, *))
        valid = [Float](repeating: 0, count: keyShape[0])
        part = value.count / keyShape[0] / channels
    }

    /// Empty every slot.
    mutating func clear() {
        for slot in valid.indices { valid[slot] = 0 }
        written = [:]
        home = [:]
        references = []
        wideSlot = nil
        forgotten = []
        unseen = 0
    }

    /// Blank an object that is no longer followed, so that its id can be given out again.
    mutating func forget(_ id: Int) {
        forgotten.insert(id)
        blankForgotten()
    }

    /// Store a frame's entry where it belongs.
    ///
    /// - Parameters:
    ///   - confidence: of every object that is followed, in [0, 1]; 0 for one that is not seen.
    ///   - given: the objects whose masks were given in this frame.
    ///   - wide: key and value of the whole frame, where these are a part's in which something was
    ///     given.
    mutating func write(
        key: [Float], value: [Float], frame: Int, confidence: [Int: Float], given: Set<Int>,
        wide: (key: [Float], value: [Float])?
    ) {
        home = home.filter { confidence[$0.key] != nil && !given.contains($0.key) }
        if blank == nil, let unused = (1..<channels).first(where: { confidence[$0] == nil }) {
            blank = Array(value[unused * part..<(unused + 1) * part])
        }
        blankForgotten()
        forgotten.subtract(confidence.keys)
        unseen = !given.isEmpty || confidence.values.contains { $0 > 0 } ? 0 : unseen + 1
        if unseen < forgetFrames {
            put(previousSlotIndex, key, value, frame)
        } else {
            valid[previousSlotIndex] = 0
            written[previousSlotIndex] = nil
        }
        if !given.isEmpty { wideSlot = nil }
        let kept =
            given.isEmpty
            ? ringSlot(frame, confidence) : referenceSlot(confidence, isPart: wide != nil)
        if let kept {
            lastKept = frame
            if !given.isEmpty {
                references.insert(kept)
                for id in given { home[id] = kept }
            }
            put(kept, key, value, frame)
        }
        if let wide, let slot = ring.first {
            wideSlot = slot
            put(slot, wide.key, wide.value, frame)
        }
    }

    private mutating func put(_ slot: Int, _ key: [Float], _ value: [Float], _ frame: Int) {
        self.key.replaceSubrange(slot * key.count..<(slot + 1) * key.count, with: key)
        self.value.replaceSubrange(slot * value.count..<(slot + 1) * value.count, with: value)
        valid[slot] = 1
        written[slot] = frame
    }

    private mutating func blankForgotten() {
        guard let blank else { return }
        for id in forgotten {
            for slot in valid.indices {
                let start = (slot * channels + id) * part
                value.replaceSubrange(start..<start + part, with: blank)
            }
        }
        forgotten = []
    }

    /// The ring's slots that hold no reference, empty ones first, then oldest first.
    private var ring: [Int] {
        (2..<max(2, valid.count))
            .filter { !references.contains($0) && $0 != wideSlot }
            .sorted { older($0, $1) }
    }

    private func older(_ one: Int, _ other: Int) -> Bool {
        (written[one] ?? -1, one) < (written[other] ?? -1, other)
    }

    private func ringSlot(_ frame: Int, _ confidence: [Int: Float]) -> Int? {
        guard let least = confidence.values.filter({ $0 > 0 }).min() else { return nil }
        let isDue = frame - lastKept >= manifest.memEvery
        return isDue && least >= manifest.writeConfidence ? ring.first : nil
    }

    private func referenceSlot(_ confidence: [Int: Float], isPart: Bool) -> Int? {
        if !references.contains(referenceSlotIndex) { return referenceSlotIndex }
        let oldestFirst = references.sorted { older($0, $1) }
        if oldestFirst.count >= max(1, valid.count - 2 - (isPart ? 1 : 0)),
            let slot = oldestFirst.first(where: { !home.values.contains($0) })
        {
            return slot
        }
        if let slot = ring.first { return slot }
        // Every slot is a reference that is needed: one goes whose objects this frame shows well.
        return oldestFirst.first { slot in
            home.allSatisfy { $0.value != slot || (confidence[$0.key] ?? 0) >= manifest.writeConfidence }
        }
    }
}
