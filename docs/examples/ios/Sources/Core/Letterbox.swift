/// Pixels of the image that one cell of a prompt, or of a probability, covers each way.
let maskStride = 4

/// What the padding of an image holds.
let neutral: Float = 127

private let maxBilinearShrink = 2.25

/// A frame of the camera, upright: height x width pixels of four bytes, red first.
struct Frame {
    let size: Size
    let rgba: [UInt8]
}

/// How frames of one size lie in an image of another: centred, as large as they fit, their sides
/// rounded to whole cells. As `Letterbox` in runtime/preprocess.py.
struct Letterbox {
    let frame: Size
    let image: Size
    /// The size of the content in the image.
    let content: Size
    /// Row of the image, in pixels, at which the content starts.
    let top: Int
    /// Column of the image at which it starts.
    let left: Int

    init(frame: Size, image: Size) {
        let scale = min(
            Double(image.height) / Double(frame.height), Double(image.width) / Double(frame.width)
        )
        func fitted(_ side: Int, _ most: Int) -> Int {
            let cells = (Double(side) * scale / Double(maskStride)).rounded(.toNearestOrEven)
            return min(max(Int(cells) * maskStride, maskStride), most)
        }
        func start(_ free: Int) -> Int { free / (2 * maskStride) * maskStride }
        self.frame = frame
        self.image = image
        content = Size(
            height: fitted(frame.height, image.height), width: fitted(frame.width, image.width)
        )
        top = start(image.height - content.height)
        left = start(image.width - content.width)
    }

    /// Shrink a part of a picture into the content: bilinear samples, several where it shrinks much.
    ///
    /// - Parameters:
    ///   - view: the part, of the size `frame`.
    ///   - out: (3, H, W) float32 in [0, 255], RGB; its padding must hold `neutral` already.
    func fill(_ picture: Frame, _ view: Box, into out: inout [Float]) {
        let shrink = max(
            Double(frame.height) / Double(content.height), Double(frame.width) / Double(content.width)
        )
        let samples = max(1, Int((shrink / maxBilinearShrink).rounded(.up)))
        let count = samples * samples
        let sampled = Size(height: content.height * samples, width: content.width * samples)
        let bilinear = Samples(from: frame, to: sampled)
        for channel in 0..<3 {
            for y in 0..<content.height {
                let to = (channel * image.height + top + y) * image.width + left
                for x in 0..<content.width {
                    var sum = 0
                    for i in 0..<samples {
                        for j in 0..<samples {
                            sum += bilinear.at(y * samples + i, x * samples + j) { row, column in
                                let pixel = (view.top + row) * picture.size.width + view.left + column
                                return Int(picture.rgba[4 * pixel + channel])
                            }
                        }
                    }
                    out[to + x] = Float((sum + count / 2) / count)
                }
            }
        }
    }

    /// - Parameter cells: (H/4, W/4) of the whole image, from `offset` on.
    /// - Returns: the content's part.
    func crop(_ cells: [Float], offset: Int = 0) -> Plane {
        var part = Plane(height: content.height / maskStride, width: content.width / maskStride)
        for y in 0..<part.height {
            for x in 0..<part.width { part.data[y * part.width + x] = cells[offset + cell(y) + x] }
        }
        return part
    }

    /// - Parameter image: (3, H, W).
    /// - Returns: the content's part of each colour.
    func pixels(_ image: [Float]) -> [Plane] {
        (0..<3).map { channel in
            var part = Plane(height: content.height, width: content.width)
            for y in 0..<part.height {
                let from = (channel * self.image.height + top + y) * self.image.width + left
                for x in 0..<part.width { part.data[y * part.width + x] = image[from + x] }
            }
            return part
        }
    }

    /// Write the content's part into cells (H/4, W/4) of the whole image, from `offset` on.
    func paste(_ part: Plane, into cells: inout [Float], offset: Int) {
        for y in 0..<part.height {
            for x in 0..<part.width { cells[offset + cell(y) + x] = part.data[y * part.width + x] }
        }
    }

    /// - Parameter labels: a label map of the frame's size.
    /// - Returns: the part of each of the content's cells that the label `id` covers, in [0, 1].
    func coverage(_ labels: [UInt8], _ id: Int) -> Plane {
        let one = Plane(height: frame.height, width: frame.width, data: labels.map { Int($0) == id ? 1 : 0 })
        return one.area(content.height / maskStride, content.width / maskStride)
    }

    /// Enlarge a map of the content, of whole numbers in [0, 255], to the frame's size, bilinearly.
    func enlarge(_ levels: Plane) -> Plane {
        let bilinear = Samples(from: content, to: frame)
        return Plane(height: frame.height, width: frame.width).map { i in
            let level = bilinear.at(i / frame.width, i % frame.width) { y, x in
                Int(levels.data[y * levels.width + x])
            }
            return Float(level)
        }
    }

    /// - Returns: the pixels of the frame that a part of the content's cells covers.
    func window(_ cells: Window) -> Window {
        let (rows, columns) = (content.height / maskStride, content.width / maskStride)
        return Window(
            top: cells.top * frame.height / rows,
            bottom: (cells.bottom * frame.height + rows - 1) / rows,
            left: cells.left * frame.width / columns,
            right: (cells.right * frame.width + columns - 1) / columns
        )
    }

    private func cell(_ row: Int) -> Int {
        (top / maskStride + row) * (image.width / maskStride) + left / maskStride
    }
}
