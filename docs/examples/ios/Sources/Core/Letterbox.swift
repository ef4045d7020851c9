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
    ///   - out: (3, H, W) float32 in [0, 255], RGB; its padding must hold `neutral` already.
    ///   - fromTop: row of the picture at which the part of the size `frame` starts.
    ///   - fromLeft: its column.
    func fill(_ picture: Frame, into out: inout [Float], fromTop: Int = 0, fromLeft: Int = 0) {
        let shrink = max(
            Double(frame.height) / Double(content.height), Double(frame.width) / Double(content.width)
        )
        let samples = max(1, Int((shrink / maxBilinearShrink).rounded(.up)))
        let rows = Between(from: frame.height, to: content.height * samples)
        let columns = Between(from: frame.width, to: content.width * samples)
        func across(_ row: Int, _ x: Int, _ channel: Int) -> Float {
            let start = 4 * ((fromTop + row) * picture.size.width + fromLeft) + channel
            let first = Float(picture.rgba[start + 4 * columns.low[x]])
            return first + (Float(picture.rgba[start + 4 * columns.high[x]]) - first) * columns.weight[x]
        }
        func sample(_ y: Int, _ x: Int, _ channel: Int) -> Int {
            let upper = across(rows.low[y], x, channel)
            return Int(upper + (across(rows.high[y], x, channel) - upper) * rows.weight[y] + 0.5)
        }
        for channel in 0..<3 {
            for y in 0..<content.height {
                let to = (channel * image.height + top + y) * image.width + left
                for x in 0..<content.width {
                    var sum = 0
                    for i in 0..<samples {
                        for j in 0..<samples { sum += sample(y * samples + i, x * samples + j, channel) }
                    }
                    out[to + x] = (Float(sum) / Float(samples * samples)).rounded(.toNearestOrEven)
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

    private func cell(_ row: Int) -> Int {
        (top / maskStride + row) * (image.width / maskStride) + left / maskStride
    }
}
